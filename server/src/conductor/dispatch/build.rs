//! The request that a step is, put together from the deployment and the stored migrations.

use std::time::Duration;

use jiff::Timestamp;
use stopover_model::decide::due_monitors;
use stopover_model::deployment::{Deployment, Step, StepState, Target};
use stopover_model::digest::Digest;
use stopover_model::event::{StepKey, StepKind};
use stopover_model::gate::window::{self, Needed};
use stopover_model::id::{EnvironmentName, MigrationId, RunId};
use stopover_model::impact::SampleWish;
use stopover_model::migration::Check;
use stopover_model::plan::{Action, Known, Measurement, MigrationSummary, Touched, Variant};
use stopover_model::report::StepReport;
use stopover_proto::convert::{AgentCommand, field};
use stopover_proto::v1;
use tonic::{Status, Streaming};

use super::needed::Affected;
use crate::registry::AgentLink;
use crate::store::Store;

/// How long an agent may take to begin: a command that was held up longer is refused, and asked for anew.
const BEGIN_WITHIN: Duration = Duration::from_mins(1);

/// A call that is ready but for the migrations' files.
pub(super) enum Ask {
    Inspect(v1::InspectRequest, Vec<(MigrationId, Digest)>, Option<SampleFor>),
    Backup(v1::BackupRequest, EnvironmentName, StepKey),
    Rehearse(Box<v1::RehearseRequest>, Vec<(Variant, (MigrationId, Digest))>),
    /// Each behind the one before it.
    Migrate(Vec<(v1::MigrateRequest, (MigrationId, Digest))>),
    Verify(v1::VerifyRequest),
    Measure(v1::MeasureRequest),
    Rollback(Box<v1::RollbackRequest>, (MigrationId, Digest)),
}

/// For whom statements may be tried on a sample.
pub(super) struct SampleFor {
    environment: EnvironmentName,
    /// By the deployment itself.
    measured: Vec<Measurement>,
}

/// None where the step is not running, or its deployment lacks what the step is about.
#[expect(clippy::too_many_lines, reason = "a table of what each kind of step is asked with")]
pub(super) fn ask(
    deployment: &Deployment,
    key: &StepKey,
    now: Timestamp,
    resume: Option<(RunId, u64)>,
) -> Option<Ask> {
    let stage = deployment.stage(key.stage)?;
    let target = stage.target(&key.database)?;
    let step = deployment.step(key)?;
    let command = Some(command(deployment, key, now, resume)?);
    let migration = key.migration.as_ref().and_then(|id| deployment.migration(id));
    let system_identifier = system_identifier(target);
    let locks = field::message::write(stage.spec.locks);
    let backfill = field::message::write(stage.spec.backfill.clone());
    let saving = field::or_default::write(stage.spec.saving);
    let throttle = field::message::write(deployment.throttle.clone());
    Some(match key.kind {
        StepKind::Inspect => {
            let migrations = deployment.migrations.iter().map(|m| (m.id.clone(), m.digest)).collect();
            let sample_for = || SampleFor {
                environment: stage.spec.environment.clone(),
                measured: deployment.known(key.stage, &[]).own,
            };
            let sample_for = (!stage.spec.no_sample).then(sample_for);
            let request = v1::InspectRequest { command, migrations: Vec::new(), sample: None };
            Ask::Inspect(request, migrations, sample_for)
        }
        StepKind::Backup | StepKind::RollbackBackup => {
            let (tables, untold) = touched(target, key.kind);
            let request = v1::BackupRequest {
                command,
                system_identifier,
                backup: field::message::write(stage.spec.backup),
                tables,
                untold,
                keep_restored: key.kind == StepKind::Backup && stage.spec.rehearse,
                needed: None,
            };
            Ask::Backup(request, stage.spec.environment.clone(), key.clone())
        }
        StepKind::Rehearse => {
            let applied = |m: &MigrationSummary| match target.action(&m.id)? {
                Action::Apply { variant, .. } => Some((*variant, named(m))),
                Action::Skip => None,
            };
            let request = v1::RehearseRequest {
                command,
                migrations: Vec::new(),
                locks,
                system_identifier,
                backfill,
                throttle,
                allow_cluster_effects: stage.spec.allow_cluster_effects,
                backup_attempt: target.backup.attempts,
                only_tables: match target.backup.report() {
                    Some(StepReport::BackedUp(report)) => report.only_tables.clone(),
                    _ => Vec::new(),
                },
            };
            Ask::Rehearse(Box::new(request), deployment.migrations.iter().filter_map(applied).collect())
        }
        StepKind::Migrate => {
            let migration = migration?;
            let Some(action @ Action::Apply { variant, .. }) = target.action(&migration.id) else {
                return None;
            };
            let bounds = window::bounds(&stage.spec, &stage.gates, Needed::by(migration, action), now);
            let request = v1::MigrateRequest {
                command,
                migration: None,
                migration_digest: field::digest::write(migration.digest),
                variant: field::enumeration::write(*variant),
                locks,
                system_identifier,
                resolution: field::optional_enumeration::write(step.resolution),
                backfill,
                throttle,
                saving,
                behind: None,
                only_look: false,
                then: Vec::new(),
                begin_within: field::optional_duration::write(bounds.begin_within),
                batches_within: field::optional_duration::write(bounds.batches_within),
                restore_saved: if deployment.restore_saved {
                    deployment.by.to_string()
                } else {
                    String::new()
                },
            };
            Ask::Migrate(vec![(in_its_place(request, deployment, target, key), named(migration))])
        }
        StepKind::Verify => {
            let checks = migration?.manifest.verify.iter();
            let (checks, monitors) = (wire(checks), Vec::new());
            Ask::Verify(v1::VerifyRequest { command, checks, system_identifier, monitors })
        }
        StepKind::Monitor => {
            let due = due_monitors(deployment, key, since(&step.state).unwrap_or(now));
            let checks = wire(due.checks.into_iter());
            let monitors = field::messages::write(due.own.into_iter().cloned().collect());
            Ask::Verify(v1::VerifyRequest { command, checks, system_identifier, monitors })
        }
        StepKind::Measure => {
            let before = target.inspection().and_then(|i| i.metrics.as_ref());
            let tables = before.map(|m| m.tables.iter().map(|t| t.oid).collect()).unwrap_or_default();
            Ask::Measure(v1::MeasureRequest { command, tables, system_identifier })
        }
        StepKind::Rollback => {
            let migration = migration?;
            let request = v1::RollbackRequest {
                command,
                migration: None,
                migration_digest: field::digest::write(migration.digest),
                locks,
                system_identifier,
                resolution: field::optional_enumeration::write(step.resolution),
                backfill,
                throttle,
                by_hand: step.by_hand.as_ref().map(ToString::to_string).unwrap_or_default(),
                saving,
            };
            Ask::Rollback(Box::new(request), named(migration))
        }
    })
}

/// Several migrations in one call; anything else has its own.
pub(super) fn in_one(asks: Vec<Ask>) -> Option<Ask> {
    asks.into_iter().map(Some).reduce(|all, next| match (all?, next?) {
        (Ask::Migrate(mut all), Ask::Migrate(next)) => {
            all.extend(next);
            Some(Ask::Migrate(all))
        }
        _ => None,
    })?
}

/// A migration that the agent has behind another must not begin before that has succeeded; where that did not succeed, or
/// the deployment does not go on, it must not begin at all.
fn in_its_place(
    mut request: v1::MigrateRequest,
    deployment: &Deployment,
    target: &Target,
    key: &StepKey,
) -> v1::MigrateRequest {
    if !target.step(key).is_some_and(Step::is_behind) {
        return request;
    }
    let goes_on = deployment.paused.is_none() && deployment.cancelling.is_none();
    request.behind = target.before(key).filter(|_| goes_on).and_then(|before| match before.migrate.state {
        StepState::Running { attempt, .. } => {
            Some(v1::migrate_request::Behind { migration: before.id.to_string(), attempt: attempt.0 })
        }
        _ => None,
    });
    request.only_look = request.behind.is_none();
    request
}

impl Ask {
    /// Adds the files and makes the call.
    pub(super) async fn send(
        self,
        store: &Store,
        affected: &Affected,
        link: &AgentLink,
    ) -> Result<Streaming<v1::StepUpdate>, Status> {
        let mut client = link.client();
        let updates = match self {
            Self::Inspect(mut request, migrations, sample_for) => {
                request.migrations = bundles(store, &migrations).await?;
                if let Some(sample_for) = sample_for {
                    request.sample = sample_for.wish(store, &migrations).await?.map(Into::into);
                }
                client.inspect(request).await
            }
            Self::Backup(mut request, environment, step) => {
                request.needed = super::needed::needed(store, affected, &environment, &step).await;
                client.backup(request).await
            }
            Self::Rehearse(mut request, migrations) => {
                let (variants, named): (Vec<_>, Vec<_>) = migrations.into_iter().unzip();
                let files = bundles(store, &named).await?;
                for ((variant, (_, digest)), files) in variants.into_iter().zip(named).zip(files) {
                    request.migrations.push(v1::rehearse_request::Rehearsed {
                        migration: Some(files),
                        migration_digest: field::digest::write(digest),
                        variant: field::enumeration::write(variant),
                    });
                }
                client.rehearse(*request).await
            }
            Self::Migrate(asked) => {
                let (mut requests, named): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
                for (request, bundle) in requests.iter_mut().zip(bundles(store, &named).await?) {
                    request.migration = Some(bundle);
                }
                let mut requests = requests.into_iter();
                let first = requests.next().ok_or_else(|| Status::internal("nothing is asked for"))?;
                if !link.queues && (first.behind.is_some() || first.only_look) {
                    // It would begin at once.
                    return Err(Status::unavailable(
                        "this agent takes no migration before its turn; start a newer one",
                    ));
                }
                client.migrate(v1::MigrateRequest { then: requests.collect(), ..first }).await
            }
            Self::Verify(request) => client.verify(request).await,
            Self::Measure(request) => client.measure(request).await,
            Self::Rollback(mut request, named) => {
                request.migration = bundles(store, &[named]).await?.pop();
                client.rollback(*request).await
            }
        };
        updates.map(tonic::Response::into_inner)
    }
}

impl SampleFor {
    async fn wish(
        self,
        store: &Store,
        migrations: &[(MigrationId, Digest)],
    ) -> Result<Option<SampleWish>, Status> {
        let digests: Vec<_> = migrations.iter().map(|(_, digest)| *digest).collect();
        let history = store.measurements(&self.environment, &digests).await;
        let history = history.map_err(|e| Status::unavailable(e.to_string()))?;
        let environment = self.environment.as_str();
        let known = Known { environment, own: self.measured, history: &history, ..Known::default() };
        Ok(known.sample_wish(migrations))
    }
}

fn command(
    deployment: &Deployment,
    key: &StepKey,
    now: Timestamp,
    resume: Option<(RunId, u64)>,
) -> Option<v1::Command> {
    let StepState::Running { attempt, epoch, .. } = deployment.step(key)?.state else { return None };
    let command = AgentCommand {
        environment: deployment.stage(key.stage)?.spec.environment.clone(),
        deployment: deployment.id.clone(),
        step: key.clone(),
        attempt,
        epoch,
        plan_digest: deployment.digest,
        not_after: now.checked_add(BEGIN_WITHIN).unwrap_or(Timestamp::MAX),
        resume,
    };
    Some(command.into())
}

/// An agent whose role may not read it reports none; then nothing is compared.
/// The tables that the plan touches; or why it can't be known.
fn touched(target: &Target, kind: StepKind) -> (Vec<String>, String) {
    if kind == StepKind::RollbackBackup {
        return (Vec::new(), "what the way back touches is not looked at beforehand".to_owned());
    }
    match (&target.plan, target.inspection()) {
        (Some(plan), Some(inspection)) => match Touched::by(plan, inspection) {
            Touched::Known(tables) => (tables, String::new()),
            Touched::Untold(why) => (Vec::new(), why),
        },
        _ => (Vec::new(), "there is no plan".to_owned()),
    }
}

fn system_identifier(target: &Target) -> String {
    target.inspection().map(|i| i.system_identifier.clone()).unwrap_or_default()
}

fn since(state: &StepState) -> Option<Timestamp> {
    match state {
        StepState::Running { since, .. } => Some(*since),
        _ => None,
    }
}

fn named(migration: &MigrationSummary) -> (MigrationId, Digest) {
    (migration.id.clone(), migration.digest)
}

fn wire<'a>(checks: impl Iterator<Item = &'a Check>) -> Vec<v1::Check> {
    checks.cloned().map(v1::Check::from).collect()
}

/// With their files, in the same order.
pub(in crate::conductor) async fn bundles(
    store: &Store,
    migrations: &[(MigrationId, Digest)],
) -> Result<Vec<v1::MigrationBundle>, Status> {
    let digests: Vec<Digest> = migrations.iter().map(|(_, digest)| *digest).collect();
    let mut found = store.bundles(&digests).await.map_err(|e| Status::unavailable(e.to_string()))?;
    let bundle = |(id, digest): &(MigrationId, Digest)| {
        let lost = || Status::internal(format!("the store has lost the files of {id}"));
        let files = found.remove(digest).ok_or_else(lost)?.into_iter();
        let files = files.map(|(name, content)| v1::migration_bundle::File { name, content }).collect();
        // How migrations follow one another was settled with the plan.
        Ok(v1::MigrationBundle { id: id.to_string(), files, series: 0 })
    };
    migrations.iter().map(bundle).collect()
}
