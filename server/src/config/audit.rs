//! `[audit]`: where the signed heads of the audit log go.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use stopover_model::config::ConfigError;
use stopover_model::id::SecretName;
use stopover_model::pipeline::check_url;
use toml::Spanned;

/// Where the audit log's heads are told, so that who can write the store alone can't change it unseen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditSettings {
    /// None: into the data directory.
    pub head_file: Option<PathBuf>,
    /// They go there as well.
    pub webhook: Option<AuditWebhook>,
}

/// Who is sent the heads, by signed calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditWebhook {
    pub url: String,
    pub secret: SecretName,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAudit {
    head_file: Option<PathBuf>,
    webhook: Option<Spanned<String>>,
    secret: Option<Spanned<SecretName>>,
}

impl RawAudit {
    pub(super) fn read(
        self,
        is_secret: impl Fn(&SecretName) -> bool,
        directory: &Path,
        (file, text): (&str, &str),
    ) -> Result<AuditSettings, ConfigError> {
        let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
        let webhook = match (self.webhook, self.secret) {
            (None, None) => None,
            (Some(url), Some(secret)) => {
                check_url(url.get_ref()).map_err(|why| at(url.span(), why))?;
                if !is_secret(secret.get_ref()) {
                    let name = secret.get_ref();
                    let message = format!(
                        "there is no secret `{name}`; add `{name} = {{ file = \"...\" }}` to [secrets]"
                    );
                    return Err(at(secret.span(), message));
                }
                Some(AuditWebhook { url: url.into_inner(), secret: secret.into_inner() })
            }
            (Some(url), None) => {
                let message = "the calls are signed: add `secret`, the name of one of the [secrets]";
                return Err(at(url.span(), message.to_owned()));
            }
            (None, Some(secret)) => {
                let message = "nothing is signed with it: add `webhook`, or leave this out";
                return Err(at(secret.span(), message.to_owned()));
            }
        };
        Ok(AuditSettings { head_file: self.head_file.map(|path| directory.join(path)), webhook })
    }
}
