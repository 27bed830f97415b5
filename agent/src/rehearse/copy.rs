//! The copy that a rehearsal runs on: what the backup has left, or that backup restored once more. It is dropped at the
//! end, whatever that is; what a killed agent leaves is swept away when one starts again.

use std::sync::Arc;

use stopover_model::event::{StepKey, StepKind};
use stopover_model::report::{Outcome, StepError};

use super::{Copy, RehearseWork, on_copy, outcome};
use crate::backup::{BackupSettings, restore_again};
use crate::scratch::Scratch;
use crate::step::StepContext;

/// Rehearses, and drops the copy.
pub async fn run(context: StepContext, settings: &BackupSettings, work: &RehearseWork) -> Outcome {
    let (scratch, of) = match obtain(&context, settings, work).await {
        Ok(obtained) => obtained,
        Err(error) => return Outcome::Failed { error, report: None },
    };
    let copy = Copy {
        database: Arc::clone(scratch.restorer()),
        of: of.to_owned(),
        unprivileged: scratch.is_unprivileged(),
        on_live_server: context.database.scratch().is_none(),
    };
    let (report, ended) = on_copy(&context, copy, work).await;
    scratch.remove().await;
    outcome(report, ended)
}

/// A copy that a rehearsal has begun to work on is never used by another.
async fn obtain(
    context: &StepContext,
    settings: &BackupSettings,
    work: &RehearseWork,
) -> Result<(Scratch, &'static str), StepError> {
    if let Some(scratch) = Scratch::find(context).await? {
        return Ok((scratch, "the backup, as it was restored to prove it"));
    }
    context.reporter.message("the copy that the backup was restored into is gone: restores it once more");
    let backup = StepKey::target(context.step.stage, &context.step.database, StepKind::Backup);
    let scratch =
        restore_again(context, settings, (&backup, work.backup_attempt), &work.system_identifier).await?;
    Ok((scratch, "the backup, restored once more"))
}
