//! What has been done and said so far in one call, through all its retries.

use std::collections::BTreeSet;
use std::time::Duration;

use stopover_model::report::LogLine;
use tokio::time::Instant;

use crate::step::Reporter;

#[derive(Debug)]
pub(crate) struct Tally {
    began: Instant,
    /// Rows that the statements said they touched.
    pub(crate) rows: u64,
    pub(crate) lock_retries: u32,
    /// A transaction that is tried again tells of each statement once.
    started: BTreeSet<u32>,
    finished: BTreeSet<u32>,
}

impl Tally {
    pub(super) fn new() -> Self {
        let (started, finished) = (BTreeSet::new(), BTreeSet::new());
        Self { began: Instant::now(), rows: 0, lock_retries: 0, started, finished }
    }

    pub(crate) fn took(&self) -> Duration {
        // Microseconds of somebody's wall clock are noise in a report.
        Duration::from_millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn started(&mut self, reporter: &Reporter, index: u32) {
        if self.started.insert(index) {
            reporter.line(LogLine::StatementStarted { index });
        }
    }

    pub(super) fn finished(&mut self, reporter: &Reporter, index: u32, rows: u64, took: Duration) {
        if self.finished.insert(index) {
            let took = Duration::from_micros(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            reporter.line(LogLine::StatementFinished { index, rows, took });
        }
    }
}
