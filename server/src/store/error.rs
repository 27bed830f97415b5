//! What goes wrong with the store: it failed, or what it holds makes no sense.

use std::fmt;

use stopover_model::id::{DeploymentId, Seq};

/// Why a call of the store came to nothing. The two cases ask for different people: the first for whoever runs the
/// database, the second for whoever changed what is in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not open the store {store}: {hint}")]
    Open {
        /// Without a password.
        store: String,
        hint: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("could not {attempt}: the store failed")]
    Failed { attempt: String, source: sqlx::Error },
    #[error("could not {attempt}: what the store holds as {place} makes no sense; restore it from a backup")]
    Nonsense { attempt: String, place: String, source: Box<dyn std::error::Error + Send + Sync> },
}

/// Why records were not appended. Nothing of them was stored.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(
        "another writer was faster: the log of deployment {deployment} has got to seq {found}; load it again"
    )]
    Conflict {
        deployment: DeploymentId,
        /// The last in the log; zero where there is no such deployment.
        found: Seq,
    },
    #[error("deployment {by} is in the environment")]
    Held { by: DeploymentId },
    /// A mistake of the caller's.
    #[error("the records can't be appended: {0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What went wrong, before it is known what it was for.
#[derive(Debug)]
pub(super) enum Cause {
    Database(sqlx::Error),
    Row { place: String, source: Box<dyn std::error::Error + Send + Sync> },
}

impl Cause {
    pub(super) fn row(
        place: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Row { place: place.into(), source: source.into() }
    }
}

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Names what was attempted: a verb and its object, as in "append events of deployment x".
pub(super) fn attempt(what: impl fmt::Display) -> impl FnOnce(Cause) -> StoreError {
    move |cause| {
        let attempt = what.to_string();
        match cause {
            Cause::Database(source) => StoreError::Failed { attempt, source },
            Cause::Row { place, source } => StoreError::Nonsense { attempt, place, source },
        }
    }
}
