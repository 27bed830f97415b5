//! What the workers have done so far, and how that looks to people.

use std::sync::{Mutex, MutexGuard, PoisonError};

use stopover_model::report::Session as Blocker;
use stopover_model::report::{Progress, ProgressUnit};

use crate::ledger::BackfillRange;

#[derive(Debug, Default)]
pub(super) struct Meter {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: u64,
    walked: u64,
    batches: u64,
    batch_rows: u32,
    lock_retries: u32,
    blockers: Vec<Blocker>,
}

impl Meter {
    /// Begins with what earlier runs have done.
    pub(super) fn new(ranges: &[BackfillRange]) -> Self {
        let sum = |of: fn(&BackfillRange) -> i64| {
            ranges.iter().map(|range| u64::try_from(of(range)).unwrap_or_default()).sum()
        };
        let state = State {
            rows: sum(|range| range.rows),
            walked: sum(|range| range.walked),
            batches: sum(|range| range.batches),
            ..State::default()
        };
        Self { state: Mutex::new(state) }
    }

    pub(super) fn batch(&self, rows: u64, walked: u32, batch_rows: u32) {
        let mut state = self.state();
        state.rows += rows;
        state.walked += u64::from(walked);
        state.batches += 1;
        state.batch_rows = batch_rows;
    }

    pub(super) fn locked(&self) {
        self.state().lock_retries += 1;
    }

    pub(super) fn note_blockers(&self, blockers: Vec<Blocker>) {
        self.state().blockers = blockers;
    }

    pub(super) fn take_blockers(&self) -> Vec<Blocker> {
        std::mem::take(&mut self.state().blockers)
    }

    pub(super) fn rows(&self) -> u64 {
        self.state().rows
    }

    pub(super) fn lock_retries(&self) -> u32 {
        self.state().lock_retries
    }

    /// The statistics may know of fewer rows than there are.
    pub(super) fn progress(&self, doing: &str, total: u64) -> Progress {
        let state = self.state();
        let done = state.walked;
        Progress {
            doing: doing.to_owned(),
            done,
            total: if total == 0 { 0 } else { total.max(done) },
            unit: ProgressUnit::Rows,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
