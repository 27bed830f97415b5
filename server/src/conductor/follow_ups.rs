//! What is looked at after deployments have ended: asked of the agents when it is due, and kept.
//!
//! A run that can't be made (its agent is away, the database is down) stays due, and is made late. What failed is told in
//! one place, and holds the same migration back elsewhere until somebody has acknowledged it.

use std::sync::Arc;
use std::time::Duration;

use stopover_model::cause;
use stopover_model::deployment::Deployment;
use stopover_model::follow_up::{FollowUpState, Scheduled, Seen};
use stopover_model::id::{DeploymentId, MigrationId, OperatorName};
use stopover_model::notice::of_follow_up;
use stopover_model::report::{CheckResult, ErrorClass, StepError, VerifyReport};
use stopover_proto::v1;
use tokio::time::sleep;

use super::act::{checked, refused};
use super::load::{LoadError, load};
use super::{ConductError, Conductor, Shared};
use crate::registry::AgentLink;
use crate::store::StoreError;

/// How often the store is asked for what is due.
const LOOK: Duration = Duration::from_secs(5);
/// At a time.
const MOST: u32 = 100;

impl Conductor {
    /// Of one deployment, with their histories.
    pub async fn follow_ups(&self, id: &DeploymentId) -> Result<Vec<Scheduled>, ConductError> {
        if self.shared.store.last_seq(id).await?.is_none() {
            return Err(ConductError::NoDeployment(id.to_string()));
        }
        Ok(self.shared.store.follow_ups(id).await?)
    }

    /// A person knows of the failures of a follow-up, in whichever databases and of whichever migration it failed.
    pub async fn acknowledge(
        &self,
        id: &DeploymentId,
        name: &str,
        migration: Option<&MigrationId>,
        (by, reason): (OperatorName, &str),
    ) -> Result<Vec<Scheduled>, ConductError> {
        let all = self.follow_ups(id).await?;
        let named: Vec<_> = all
            .iter()
            .filter(|s| s.key.name == name && migration.is_none_or(|migration| s.key.migration == *migration))
            .collect();
        let Some(first) = named.first() else {
            let mut there: Vec<_> = all.iter().map(|s| format!("\"{}\"", s.key.name)).collect();
            there.dedup();
            let (deployment, name) = (id.clone(), name.to_owned());
            return Err(ConductError::NoFollowUp { deployment, name, there: there.join(", ") });
        };
        let failed: Vec<_> = named.iter().filter(|s| s.has_failed()).collect();
        // Where none has failed, the first says so.
        let asked = if failed.is_empty() { vec![*first] } else { failed.into_iter().copied().collect() };
        let now = (self.shared.clock)();
        let mut acknowledged = Vec::new();
        for follow_up in asked {
            let change = |s: &mut Scheduled| s.acknowledge(by.clone(), reason, now);
            if let Some((changed, said)) = self.shared.store.change_follow_up(&follow_up.key, change).await? {
                said?;
                tracing::info!(deployment = %id, %by, "acknowledged the follow-up {}: {reason}", changed.key);
                acknowledged.push(changed);
            }
        }
        // Deployments may be waiting for this word.
        self.shared.registry.touch();
        Ok(acknowledged)
    }
}

impl Shared {
    /// Runs what is due, as long as the server does.
    pub(super) async fn keep_following_up(self: Arc<Self>) {
        let mut changes = self.registry.changes();
        loop {
            if let Err(error) = self.follow_up().await {
                tracing::warn!("could not look after follow-ups: {}", cause::chain(&error));
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                // An agent that comes back is asked soon, and not at every change of the world.
                _ = changes.changed() => sleep(Duration::from_secs(1)).await,
            }
            changes.mark_unchanged();
        }
    }

    async fn follow_up(&self) -> Result<(), StoreError> {
        for due in self.store.follow_ups_due((self.clock)(), MOST).await? {
            let (environment, database) = (&due.key.environment, &due.key.database);
            let asked = self.ask(environment, database, |link| self.ask_one(link, &due)).await;
            let now = (self.clock)();
            let kept = match asked {
                Ok(seen) => {
                    // Only of a failure somebody is told.
                    let of = if seen.passed { None } else { self.told_of(&due.key.deployment).await? };
                    let tell = |kept: &Scheduled| {
                        of.as_ref().map(|of| of_follow_up(of, kept, now)).unwrap_or_default()
                    };
                    self.store.record_follow_up(&due.key, |s| s.record(seen, now), tell).await?
                }
                Err(error) if due.held.as_ref().is_some_and(|held| held.why == error.message) => None,
                Err(error) => {
                    tracing::warn!(deployment = %due.key.deployment, "the follow-up {} has to wait: {}", due.key, error.message);
                    self.store.change_follow_up(&due.key, |s| s.hold(error.message, now)).await?
                }
            };
            if let Some((kept, ())) = kept
                && matches!(kept.state(), FollowUpState::Failed { .. })
                && kept.held.is_none()
            {
                self.tell_failure(&kept);
            }
        }
        Ok(())
    }

    /// The deployment, whose pipeline says who is told.
    async fn told_of(&self, id: &DeploymentId) -> Result<Option<Deployment>, StoreError> {
        match load(&self.store, id).await {
            Ok(deployment) => Ok(Some(deployment)),
            Err(LoadError::Store(error)) => Err(error),
            Err(error) => {
                let error = cause::chain(&error);
                tracing::error!(deployment = %id, error, "nobody can be told of its follow-ups");
                Ok(None)
            }
        }
    }

    /// In the log, besides what people are told.
    fn tell_failure(&self, follow_up: &Scheduled) {
        let observed = follow_up.runs.last().map(|run| run.observed.as_str()).unwrap_or_default();
        tracing::warn!(deployment = %follow_up.key.deployment, migration = %follow_up.key.migration,
            "the follow-up {} failed: found {observed}", follow_up.key);
        // Whoever is about to take the migration elsewhere looks again.
        self.registry.touch();
    }

    async fn ask_one(&self, link: AgentLink, due: &Scheduled) -> Result<Seen, StepError> {
        use v1::follow_up_response::Result as Answer;
        let id = DeploymentId::from_random(rand::random());
        let act = self.act(&due.key.environment, &due.key.database, id, stopover_model::id::Epoch(1));
        let request = v1::FollowUpRequest {
            act: Some(act.into()),
            follow_up: Some(due.follow_up.clone().into()),
            system_identifier: due.system_identifier.clone(),
        };
        let answer = link.client().follow_up(request).await.map_err(|status| refused(&link, &status))?;
        let told = answer.into_inner().result.map(|answer| match answer {
            Answer::Seen(report) => Ok(report),
            Answer::Failed(error) => Err(error),
        });
        let VerifyReport { checks } = checked(&link, told, "seen")?;
        let seen = |c: CheckResult| Seen { passed: c.passed, expected: c.expected, observed: c.observed };
        checks.into_iter().next().map(seen).ok_or_else(|| {
            let message = format!("the agent {} answered nothing", link.agent);
            StepError::new(ErrorClass::Internal, message)
        })
    }
}
