//! What the workers have done so far, and how that looks to people.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stopover_model::report::Session as Blocker;
use stopover_model::report::{BackfillProgress, Progress, ProgressUnit};
use tokio::time::Instant;

use super::weather::Weather;
use crate::ledger::BackfillRange;

/// The time that a rate is taken over, holds and pauses included.
const LATELY: Duration = Duration::from_secs(30);
/// A rate over less than this is none.
const SOONEST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Meter {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rows: u64,
    walked: u64,
    batch_rows: u32,
    lock_retries: u32,
    blockers: Vec<Blocker>,
    /// When how many rows had been walked over.
    lately: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Begins with what earlier runs have done.
    pub(super) fn new(ranges: &[BackfillRange]) -> Self {
        let sum = |of: fn(&BackfillRange) -> i64| {
            ranges.iter().map(|range| u64::try_from(of(range)).unwrap_or_default()).sum()
        };
        let walked = sum(|range| range.walked);
        Self {
            state: Mutex::new(State {
                rows: sum(|range| range.rows),
                walked,
                batch_rows: 0,
                lock_retries: 0,
                blockers: Vec::new(),
                lately: VecDeque::from([(Instant::now(), walked)]),
            }),
        }
    }

    pub(super) fn batch(&self, rows: u64, walked: u32, batch_rows: u32) {
        let mut state = self.state();
        state.rows += rows;
        state.walked += u64::from(walked);
        state.batch_rows = batch_rows;
        let now = (Instant::now(), state.walked);
        state.lately.push_back(now);
        while state.lately.len() > 2 && state.lately[1].0.elapsed() > LATELY {
            state.lately.pop_front();
        }
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

    pub(super) fn progress(&self, doing: &str, total: u64, weather: Option<&Weather>) -> Progress {
        let state = self.state();
        // The statistics may know of fewer rows than there are.
        let total = if total == 0 { 0 } else { total.max(state.walked) };
        let rate = state.rate();
        let left = rate
            .filter(|rate| *rate > 0 && total > 0)
            .map(|rate| Duration::from_secs((total - state.walked).div_ceil(rate)));
        let backfill = BackfillProgress {
            touched: state.rows,
            rows_per_second: rate,
            batch_rows: state.batch_rows,
            wal_bytes: weather.map_or(0, |weather| weather.wal_bytes),
            dead_rows: weather.map_or(0, |weather| weather.dead_rows),
            holds: weather.map_or_else(Vec::new, |w| w.holds.iter().map(|hold| hold.text.clone()).collect()),
            held_for: weather.and_then(|weather| weather.held_since).map(|since| since.elapsed()),
            left_basis: left.map_or_else(String::new, |_| {
                format!("the rate of the last {} s, pauses included", LATELY.as_secs())
            }),
            left,
        };
        Progress {
            doing: doing.to_owned(),
            done: state.walked,
            total,
            unit: ProgressUnit::Rows,
            backfill: Some(backfill),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn rate(&self) -> Option<u64> {
        let (began, walked) = *self.lately.front()?;
        let time = began.elapsed();
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        (time >= SOONEST).then(|| (self.walked - walked).saturating_mul(1_000) / millis.max(1))
    }
}
