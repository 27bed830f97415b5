//! What goes wrong with a bucket, with the way out.

use std::error::Error;

use stopover_model::cause;
use stopover_model::report::{ErrorClass, StepError};

use crate::postgres::shown;

/// An act on a bucket that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} {place}: {}", said(.source))]
pub(crate) struct VaultError {
    pub(crate) doing: &'static str,
    pub(crate) place: String,
    #[source]
    pub(crate) source: object_store::Error,
}

impl VaultError {
    pub(crate) fn already_exists(&self) -> bool {
        matches!(
            self.source,
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }
        )
    }
}

impl From<VaultError> for StepError {
    fn from(error: VaultError) -> Self {
        use object_store::Error as E;
        let text = error.to_string();
        let says = |part: &str| text.contains(part);
        let (class, hint) = match &error.source {
            _ if says("NoSuchBucket") || says("ContainerNotFound") || says("bucket does not exist") => {
                (ErrorClass::Setup, "make the bucket, or correct backup.destination in agent.toml")
            }
            E::NotFound { .. } => (
                ErrorClass::Setup,
                "if somebody removed it, the backup is gone; if the whole bucket is missing, correct backup.destination in \
                 agent.toml",
            ),
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => (
                ErrorClass::Setup,
                "let the agent's credentials read, write, list and delete there, or correct [backup.options] in agent.toml",
            ),
            E::AlreadyExists { .. } | E::Precondition { .. } => (
                ErrorClass::Setup,
                "something of this name lies there already, and nothing is ever overwritten: look who else writes there",
            ),
            E::NotImplemented { .. } | E::NotSupported { .. } => {
                (ErrorClass::Setup, "this object store can't do what a backup needs; use another destination")
            }
            _ if says("credential") || says("SignatureDoesNotMatch") || says("InvalidAccessKeyId") => (
                ErrorClass::Setup,
                "check the credentials: [backup.options] in agent.toml, or the agent's environment",
            ),
            _ => (
                ErrorClass::Transient,
                "check the network between the agent and the object store, and the endpoint in [backup.options]",
            ),
        };
        StepError::new(class, text).with_hint(hint)
    }
}

/// What an error and its causes say, each thing once, without what stands behind the `?` of a URL, which may be a signature.
pub(super) fn said(error: &(dyn Error + 'static)) -> String {
    shown(&without_queries(&cause::once(error)), 1_000)
}

fn without_queries(text: &str) -> String {
    let mut cut = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        match (word.find("://"), word.find('?')) {
            (Some(_), Some(query)) => {
                cut.push_str(&word[..query]);
                cut.push_str("?... ");
            }
            _ => cut.push_str(word),
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(source: object_store::Error) -> StepError {
        VaultError { doing: "write", place: "s3://b/x".to_owned(), source }.into()
    }

    #[test]
    fn a_signature_in_a_url_is_not_repeated() {
        let said = without_queries("error for url (https://a.blob/x?sv=1&sig=SECRET) and more");
        assert_eq!(said, "error for url (https://a.blob/x?... and more");
        assert!(!said.contains("SECRET"));
    }

    #[test]
    fn each_problem_has_its_way_out() {
        let cause = |text: &str| Box::<dyn Error + Send + Sync>::from(text.to_owned());
        let denied =
            object_store::Error::PermissionDenied { path: "x".into(), source: cause("AccessDenied") };
        let denied = error(denied);
        assert_eq!(denied.class, ErrorClass::Setup);
        assert!(denied.hint.unwrap().contains("read, write, list and delete"));
        let none = object_store::Error::NotFound { path: "x".into(), source: cause("NoSuchBucket") };
        assert!(error(none).hint.unwrap().contains("make the bucket"));
        let away = object_store::Error::Generic { store: "S3", source: cause("connection refused") };
        assert_eq!(error(away).class, ErrorClass::Transient);
    }
}
