//! Content that was rolled back: in that environment it is not applied again by itself.

use jiff::Timestamp;

use crate::actor::Actor;
use crate::digest::Digest;
use crate::id::{DeploymentId, EnvironmentName, MigrationId};
use crate::plan::{Action, MigrationSummary, TargetPlan};
use crate::report::{ErrorClass, StepError};

/// A migration's content that was rolled back in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    pub environment: EnvironmentName,
    pub digest: Digest,
    pub migration: MigrationId,
    /// Whose rollback it was.
    pub deployment: DeploymentId,
    pub at: Timestamp,
    pub by: Actor,
    pub cause: String,
}

/// What a step makes of an environment's quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineChange {
    Put(Quarantined),
    /// It is applied there again.
    Lift {
        environment: EnvironmentName,
        digest: Digest,
    },
}

impl Quarantined {
    /// Why nothing with this content is applied there.
    #[must_use]
    pub fn refusal(&self) -> StepError {
        let message = format!(
            "{} with this content was rolled back in {} on {} by {} (deployment {}): {}",
            self.migration,
            self.environment,
            self.at.strftime("%Y-%m-%d %H:%M UTC"),
            self.by,
            self.deployment,
            self.cause
        );
        StepError::new(ErrorClass::Check, message).with_hint(
            "mend it: with other content it is another migration, which is planned and tried anew; where the cause was \
             elsewhere, `stopover deploy DIR --again \"WHY\"` applies the same once more, and the deployment's log keeps why",
        )
    }
}

impl TargetPlan {
    /// The plan, or why it may not be: it would apply what was rolled back there.
    pub fn unless_quarantined(
        self,
        environment: &EnvironmentName,
        migrations: &[MigrationSummary],
        quarantined: &[Quarantined],
    ) -> Result<Self, StepError> {
        match self.quarantined(environment, migrations, quarantined) {
            Some(found) => Err(found.refusal()),
            None => Ok(self),
        }
    }

    /// What it would apply of what was rolled back there.
    #[must_use]
    pub fn quarantined<'a>(
        &self,
        environment: &EnvironmentName,
        migrations: &[MigrationSummary],
        quarantined: &'a [Quarantined],
    ) -> Option<&'a Quarantined> {
        let applied = self.migrations.iter().filter(|m| matches!(m.action, Action::Apply { .. }));
        let digests: Vec<Digest> =
            applied.filter_map(|m| migrations.iter().find(|s| s.id == m.id)).map(|s| s.digest).collect();
        quarantined.iter().find(|q| q.environment == *environment && digests.contains(&q.digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::tests as sample;
    use crate::plan::{MigrationPlan, Variant};

    fn plan(action: Action) -> TargetPlan {
        let migration = MigrationPlan { id: "001_a".parse().unwrap(), action, reason: String::new() };
        TargetPlan { database: "users".parse().unwrap(), migrations: vec![migration], warnings: Vec::new() }
    }

    #[test]
    fn what_was_rolled_back_in_an_environment_is_not_applied_there_again() {
        let summary = sample::migration("001_a", true, false);
        let found = Quarantined {
            environment: "production".parse().unwrap(),
            digest: summary.digest,
            migration: summary.id.clone(),
            deployment: "0123456789".parse().unwrap(),
            at: sample::at(0),
            by: Actor::Pipeline,
            cause: "the monitor quiet failed".into(),
        };
        let apply = || plan(Action::Apply { variant: Variant::Standard, estimate: None, missing: None });
        let (production, staging) = ("production".parse().unwrap(), "staging".parse().unwrap());
        let (migrations, all) = ([summary], [found]);
        let refused = apply().unless_quarantined(&production, &migrations, &all).unwrap_err();
        for part in ["001_a", "production on 2023-11-14", "on_failure", "0123456789", "quiet failed"] {
            assert!(refused.message.contains(part), "{}", refused.message);
        }
        assert!(refused.hint.unwrap().contains("--again"));
        assert!(apply().unless_quarantined(&staging, &migrations, &all).is_ok(), "elsewhere it was not");
        assert!(plan(Action::Skip).unless_quarantined(&production, &migrations, &all).is_ok(), "it is there");
        let changed = [sample::migration("001_a", false, false)];
        assert!(apply().unless_quarantined(&production, &changed, &all).is_ok(), "it has other content");
    }
}
