//! Proves a backup by restoring it: the file as it lies on the disk goes into a scratch database, and what is there then is
//! compared with what the database held at the backup's own snapshot.
//!
//! ```text
//! snapshot held -> pg_dump at it -> pg_restore ---------> rows of the copy -> equal?
//!                                   rows of the database at the snapshot ------^
//! ```

use std::time::Instant;

use stopover_model::report::{ErrorClass, Progress, ProgressUnit, RestoreProof, StepError};

use super::compare::Beginning;
use super::contents;
use super::restore::Restore;
use super::snapshot::Snapshot;
use crate::scratch::Scratch;
use crate::step::StepContext;

/// Sessions that read the copy, which nobody else uses.
const READERS: usize = 2;

/// Restores and compares; `source_readers` sessions read the database beside the restore.
pub(super) async fn run(
    context: &StepContext,
    restore: &Restore<'_>,
    (snapshot, beginning): (&Snapshot, Beginning),
    scratch: &Scratch,
    source_readers: usize,
) -> Result<RestoreProof, StepError> {
    tokio::select! {
        proven = prove(context, restore, snapshot, beginning, scratch, source_readers) => proven,
        () = context.cancel.cancelled() => Err(StepError::new(ErrorClass::Cancelled, "the backup was cancelled")),
    }
}

async fn prove(
    context: &StepContext,
    restore: &Restore<'_>,
    snapshot: &Snapshot,
    beginning: Beginning,
    scratch: &Scratch,
    source_readers: usize,
) -> Result<RestoreProof, StepError> {
    let began = Instant::now();
    let after = contents::sequences(snapshot.session()).await?;
    let total = beginning.tables.iter().map(|table| table.bytes).sum();
    let doing = "restoring the backup into a scratch database".to_owned();
    context.reporter.progress(Progress { doing, done: 0, total, unit: ProgressUnit::Bytes, backfill: None });
    // What fails first is told at once.
    let restoring = async {
        restore.into(context, scratch).await?;
        Ok(began.elapsed())
    };
    let reading = beginning.read(context, snapshot, source_readers);
    let (restored_in, expected) = futures::future::try_join(restoring, reading).await?;
    let equal = expected.compare(context, scratch.database(), snapshot, &after, READERS).await?;
    Ok(RestoreProof {
        tables: equal.tables,
        rows: equal.rows,
        sequences: equal.sequences,
        large_objects: equal.large_objects,
        dumped_in: std::time::Duration::ZERO,
        restored_in,
        compared_in: began.elapsed().saturating_sub(restored_in),
    })
}
