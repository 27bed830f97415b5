//! Backups outside of any deployment. A look at one and a restore end with their call: who hangs up stops them, and what
//! was half done is taken back.

use std::time::Duration;

use stopover_model::backup::{BackupUpdate, RestoreTarget};
use stopover_model::event::StepKind;
use stopover_model::id::BackupId;
use stopover_model::report::{ErrorClass, StepError};
use stopover_proto::convert::field::{message, name};
use stopover_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::act::{TURN, busy};
use super::{AgentService, invalid};
use crate::backup::recovery::{self, Wanted};
use crate::step::StepContext;

pub(super) type BackupUpdates = ReceiverStream<Result<v1::BackupUpdate, Status>>;

/// Nobody sees more than ten a second.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

impl AgentService {
    pub(super) async fn shelf(
        &self,
        request: v1::ListBackupsRequest,
    ) -> Result<v1::ListBackupsResponse, Status> {
        use v1::list_backups_response::Result as Answer;
        let context = self.context_of(request.act, StepKind::Inspect)?;
        let found =
            recovery::list(&self.settings.backup, &context.environment, context.database.name()).await;
        let result = match found {
            Ok(listed) => Answer::Found(listed.into()),
            Err(error) => Answer::Failed(error.into()),
        };
        Ok(v1::ListBackupsResponse { result: Some(result) })
    }

    pub(super) fn look_at_backup(&self, request: v1::VerifyBackupRequest) -> Result<BackupUpdates, Status> {
        let context = self.context_of(request.act, StepKind::Backup)?;
        let wanted = wanted(&request.backup, request.file_key)?;
        let (settings, restore) = (self.settings.backup.clone(), request.restore);
        Ok(followed(context.clone(), async move {
            match recovery::verify(&context, &settings, &wanted, restore).await {
                Ok(proof) => BackupUpdate::Proven(proof),
                Err(error) => BackupUpdate::Failed(error),
            }
        }))
    }

    pub(super) fn bring_back(&self, request: v1::RestoreBackupRequest) -> Result<BackupUpdates, Status> {
        let context = self.context_of(request.act, StepKind::Backup)?;
        let wanted = wanted(&request.backup, request.file_key)?;
        let target: RestoreTarget = message::read(request.target, "target").map_err(|e| invalid(&e))?;
        let (settings, turn) = (self.settings.backup.clone(), self.work.turn_on(context.database.name()));
        tracing::info!(database = %context.database.name(), act = %context.deployment, backup = %wanted.backup, ?target,
            "restoring a backup");
        Ok(followed(context.clone(), async move {
            // Nothing else may touch a database that is being replaced; a new one is in nobody's way.
            let _turn = match &target {
                RestoreTarget::NewDatabase { .. } => None,
                RestoreTarget::Live { .. } => match tokio::time::timeout(TURN, turn.lock_owned()).await {
                    Ok(turn) => Some(turn),
                    Err(_) => return BackupUpdate::Failed(busy(&context)),
                },
            };
            match Box::pin(recovery::restore(&context, &settings, &wanted, &target)).await {
                Ok(restored) => BackupUpdate::Restored(restored),
                Err(error) => {
                    tracing::warn!(act = %context.deployment, "nothing was restored: {}", error.message);
                    BackupUpdate::Failed(error)
                }
            }
        }))
    }
}

fn wanted(backup: &str, mut key: Vec<u8>) -> Result<Wanted, Status> {
    let backup: BackupId = name::read(backup, "backup").map_err(|e| invalid(&e))?;
    let wanted = Wanted::new(backup, &key);
    key.fill(0);
    wanted.ok_or_else(|| Status::invalid_argument("`file_key` is no key of a file: that has 16 bytes"))
}

/// Runs it to its end, whoever listens; who hangs up asks it to stop.
fn followed(
    context: StepContext,
    work: impl Future<Output = BackupUpdate> + Send + 'static,
) -> BackupUpdates {
    let (updates, receiver) = mpsc::channel(32);
    let mut working = tokio::spawn(work);
    tokio::spawn(async move {
        let mut lines = context.reporter.watch_lines();
        let mut seen = 0;
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        let mut progress = context.reporter.watch_progress();
        let end = loop {
            let end = tokio::select! {
                ended = &mut working => Some(ended.unwrap_or_else(|_| BackupUpdate::Failed(panicked()))),
                _ = lines.changed() => None,
                _ = ticks.tick() => None,
                () = updates.closed() => {
                    context.cancel.cancel();
                    return;
                }
            };
            lines.mark_unchanged();
            for (number, line) in context.reporter.lines_after(seen) {
                seen = number;
                let _ = updates.send(Ok(BackupUpdate::Line(line).into())).await;
            }
            if let Some(end) = end {
                break end;
            }
            let latest = if progress.has_changed().unwrap_or(false) {
                progress.borrow_and_update().clone()
            } else {
                None
            };
            if let Some(latest) = latest {
                // A reader that is slow misses some.
                let _ = updates.try_send(Ok(BackupUpdate::Progress(latest).into()));
            }
        };
        let _ = updates.send(Ok(end.into())).await;
    });
    ReceiverStream::new(receiver)
}

fn panicked() -> StepError {
    StepError::new(ErrorClass::Internal, "the agent failed in the middle of it; its log says where")
}
