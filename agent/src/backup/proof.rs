//! Proves a backup by restoring it: the file as it lies on the disk goes into a scratch database, and what is there then is
//! compared with what the database held at the backup's own snapshot.
//!
//! ```text
//! snapshot held -> pg_dump at it -> pg_restore ---------> rows of the copy -> equal?
//!                                   rows of the database at the snapshot ------^
//! ```

use std::time::{Duration, Instant};

use stopover_model::report::{ErrorClass, Progress, ProgressUnit, RestoreProof, StepError};

use super::compare::{Beginning, Contents};
use super::contents;
use super::scope::Scope;
use super::snapshot::Snapshot;
use crate::scratch::Scratch;
use crate::step::StepContext;

/// Sessions that read the copy, which nobody else uses.
const READERS: usize = 2;
/// Sessions that read the database itself, beside the restore.
const SOURCE_READERS: usize = 1;

/// What a proof needs from the moment before the dump on.
pub(super) struct Proving<'a> {
    snapshot: Snapshot,
    beginning: Beginning,
    pub(super) scratch: &'a Scratch,
    /// How many work at a time.
    jobs: usize,
    began: Instant,
}

impl<'a> Proving<'a> {
    /// Holds the snapshot that the dump is to be made at.
    pub(super) async fn begin(
        context: &StepContext,
        system_identifier: &str,
        scope: &Scope,
        scratch: &'a Scratch,
    ) -> Result<Self, StepError> {
        let snapshot = Snapshot::hold(context, system_identifier).await?;
        let only = scope.only().map(|only| only.quoted.as_slice());
        let beginning = Beginning::look(&snapshot, only).await?;
        Ok(Self { snapshot, beginning, scratch, jobs: 1, began: Instant::now() })
    }

    /// With so many sessions at a time as the site allows.
    pub(super) fn with_jobs(self, jobs: u32) -> Self {
        Self { jobs: usize::try_from(jobs).unwrap_or(1), ..self }
    }

    /// For `pg_dump`.
    pub(super) fn argument(&self) -> String {
        format!("--snapshot={}", self.snapshot.id())
    }

    /// Compares the copy when `restoring` has ended well, beside which the database's own rows are read.
    pub(super) async fn finish(
        self,
        context: &StepContext,
        restoring: impl Future<Output = Result<(), StepError>>,
    ) -> Result<(RestoreProof, Option<Contents>), StepError> {
        tokio::select! {
            proven = self.prove(context, restoring) => proven,
            () = context.cancel.cancelled() => {
                Err(StepError::new(ErrorClass::Cancelled, "the backup was cancelled"))
            }
        }
    }

    async fn prove(
        self,
        context: &StepContext,
        restoring: impl Future<Output = Result<(), StepError>>,
    ) -> Result<(RestoreProof, Option<Contents>), StepError> {
        let Self { snapshot, beginning, scratch, jobs, began } = self;
        let (dumped_in, began) = (began.elapsed(), Instant::now());
        let after = contents::sequences(snapshot.session()).await?;
        let total = beginning.tables.iter().map(|table| table.bytes).sum();
        let doing = "restoring the backup into a scratch database".to_owned();
        context.reporter.progress(Progress {
            doing,
            done: 0,
            total,
            unit: ProgressUnit::Bytes,
            backfill: None,
        });
        // What fails first is told at once.
        let restoring = async {
            restoring.await?;
            Ok::<Duration, StepError>(began.elapsed())
        };
        let reading = beginning.read(context, &snapshot, SOURCE_READERS.max(jobs));
        let (restored_in, expected) = futures::future::try_join(restoring, reading).await?;
        let readers = READERS.max(jobs);
        let equal = expected.compare(context, scratch.database(), &snapshot, &after, readers).await?;
        snapshot.let_go().await;
        let proof = RestoreProof {
            tables: equal.tables,
            rows: equal.rows,
            sequences: equal.sequences,
            large_objects: equal.large_objects,
            dumped_in,
            restored_in,
            compared_in: began.elapsed().saturating_sub(restored_in),
        };
        Ok((proof, expected.contents()))
    }
}
