//! The kinds of work, and the step that carries each of them out.

use stopover_model::report::Outcome;

use crate::backup::{self, BackupRequest, BackupSettings};
use crate::baseline::{self, MeasureRequest};
use crate::inspect::{self, InspectRequest};
use crate::migrate::{self, MigrateWork};
use crate::monitor::{self, MonitorRequest};
use crate::rehearse::{self, RehearseWork};
use crate::rollback::{self, RollbackWork};
use crate::step::StepContext;
use crate::verify::{self, VerifyRequest};
use crate::web::Web;

pub(super) enum Job {
    Inspect(InspectRequest),
    Backup(BackupRequest),
    Rehearse(RehearseWork),
    Migrate(MigrateWork),
    Verify(VerifyRequest),
    Monitor(MonitorRequest, Web),
    Measure(MeasureRequest),
    Rollback(RollbackWork),
}

impl Job {
    pub(super) async fn run(self, context: StepContext, settings: BackupSettings) -> Outcome {
        let outcome = match self {
            Self::Inspect(request) => inspect::run(&context, &request).await,
            Self::Backup(request) => Box::pin(backup::run(&context, &settings, &request)).await,
            Self::Rehearse(work) => rehearse::run(context.clone(), &settings, &work).await,
            Self::Migrate(work) => migrate::run(context.clone(), work).await,
            Self::Verify(request) => verify::run(&context, &request).await,
            Self::Monitor(request, web) => monitor::run(&context, &request, &web).await,
            Self::Measure(request) => baseline::run(&context, &request).await,
            Self::Rollback(work) => rollback::run(context.clone(), work).await,
        };
        let (deployment, step, attempt) = (&context.deployment, &context.step, context.attempt);
        match &outcome {
            Outcome::Succeeded { .. } => tracing::info!(%deployment, %step, %attempt, "a step succeeded"),
            Outcome::Failed { error, .. } => {
                tracing::warn!(%deployment, %step, %attempt, "a step failed: {}", error.message);
            }
            Outcome::NotBegun { why } => {
                tracing::info!(%deployment, %step, %attempt, "a step was not begun: {why}");
            }
            Outcome::Unknown { error } => {
                tracing::warn!(%deployment, %step, %attempt, "a step's outcome is UNKNOWN: {}", error.message);
            }
        }
        outcome
    }
}
