//! Whose session it is, as everybody can read it in `pg_stat_activity`, and what it may do.

use std::fmt;
use std::str::FromStr;

use stopover_model::id::{Attempt, DeploymentId, Epoch};

use crate::step::StepContext;

/// The application name of a session of the agent's: `stopover/0123456789/migrate/1/e7/3f2a9c1d`. It tells an operator
/// whose session blocks, and a later agent which sessions are an earlier one's orphans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionName {
    pub deployment: DeploymentId,
    pub step: String,
    pub attempt: Attempt,
    pub epoch: Epoch,
    /// The beginning of the run's id.
    pub run: String,
}

/// PostgreSQL cuts application names behind this many bytes.
const LONGEST: usize = 63;

impl SessionName {
    #[must_use]
    pub fn of(context: &StepContext) -> Self {
        Self {
            deployment: context.deployment.clone(),
            step: context.step.kind.as_str().replace(' ', "-"),
            attempt: context.attempt,
            epoch: context.epoch,
            run: context.run.as_str().chars().take(8).collect(),
        }
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deployment, step, attempt, epoch, run } = self;
        write!(f, "stopover/{deployment}/{step}/{attempt}/e{epoch}/{run}")
    }
}

/// It is not the name of a session of an agent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignSession;

impl FromStr for SessionName {
    type Err = ForeignSession;

    fn from_str(name: &str) -> Result<Self, ForeignSession> {
        let parts: Vec<&str> = name.split('/').collect();
        let ["stopover", deployment, step, attempt, epoch, run] = parts[..] else {
            return Err(ForeignSession);
        };
        Ok(Self {
            deployment: deployment.parse().map_err(|_| ForeignSession)?,
            step: step.to_owned(),
            attempt: Attempt(attempt.parse().map_err(|_| ForeignSession)?),
            epoch: Epoch(epoch.strip_prefix('e').and_then(|e| e.parse().ok()).ok_or(ForeignSession)?),
            run: run.to_owned(),
        })
    }
}

/// What a session is for.
#[derive(Debug, Clone)]
pub struct Purpose {
    pub(super) application_name: String,
    pub(super) writes: bool,
    pub(super) system_identifier: Option<String>,
}

impl Purpose {
    /// Looks and changes nothing: its transactions are read-only. A standby will do.
    #[must_use]
    pub fn reading(name: &SessionName) -> Self {
        Self::new(name, false)
    }

    /// Looks whether the database can be used, for no deployment.
    #[must_use]
    pub fn trying() -> Self {
        Self { application_name: "stopover-agent".to_owned(), writes: false, system_identifier: None }
    }

    /// Clears away what this product left in the server, for no deployment.
    #[must_use]
    pub fn tidying() -> Self {
        Self { writes: true, ..Self::trying() }
    }

    /// Changes the database; a standby is refused.
    #[must_use]
    pub fn writing(name: &SessionName) -> Self {
        Self::new(name, true)
    }

    /// Refuses another cluster than this one. None, or an empty text: any.
    #[must_use]
    pub fn expecting_system(mut self, identifier: Option<&str>) -> Self {
        self.system_identifier = identifier.filter(|id| !id.is_empty()).map(str::to_owned);
        self
    }

    fn new(name: &SessionName, writes: bool) -> Self {
        let mut application_name = name.to_string();
        application_name.truncate(LONGEST);
        Self { application_name, writes, system_identifier: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_fits() {
        let name = SessionName {
            deployment: "0123456789".parse().unwrap(),
            step: "rollback".to_owned(),
            attempt: Attempt(12),
            epoch: Epoch(9_999_999_999),
            run: "3f2a9c1d".to_owned(),
        };
        let text = name.to_string();
        assert!(text.len() <= LONGEST, "{text}");
        assert_eq!(text.parse(), Ok(name));
    }

    #[test]
    fn other_applications_are_foreign() {
        for name in ["", "psql", "stopover", "stopover/x", "stopover/0123456789/migrate/1/7/3f2a9c1d"] {
            assert_eq!(name.parse::<SessionName>(), Err(ForeignSession), "{name}");
        }
    }
}
