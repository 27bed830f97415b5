//! What one monitor has shown in a soak, run by run: which time it vouches for, and which it does not.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Rhythm;

/// What one monitor has shown so far. A run that passes vouches for the time until the next one is due; what lies between
/// that and the next run that passes is missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// None: it is to run at once.
    pub last: Option<Run>,
    /// Up to here it vouches, but for what was missed.
    pub covered: Timestamp,
    /// All that was missed before `covered`.
    pub missed: Duration,
    /// The last stretch of that.
    pub gap: Option<(Timestamp, Timestamp)>,
    /// The first of the runs that have not passed since the last one that did.
    pub off_since: Option<Timestamp>,
    /// The first of those that failed.
    pub failing_since: Option<Timestamp>,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When it began.
    pub at: Timestamp,
    pub result: RunResult,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunResult {
    Passed,
    Failed,
    /// Nobody could be asked.
    Unanswered,
}

/// A target that did not answer is asked again after so long, where its interval is longer.
const ASK_AGAIN: Duration = Duration::from_secs(30);

impl Evidence {
    /// Of a soak that begins.
    #[must_use]
    pub fn new(soak: Timestamp) -> Self {
        Self {
            last: None,
            covered: soak,
            missed: Duration::ZERO,
            gap: None,
            off_since: None,
            failing_since: None,
        }
    }

    /// Takes a run that began and ended then.
    pub fn take(&mut self, monitor: Rhythm<'_>, result: RunResult, (began, ended): (Timestamp, Timestamp)) {
        self.last = Some(Run { at: began, result });
        match result {
            RunResult::Passed => {
                let late = Duration::try_from(began.duration_since(self.covered)).unwrap_or_default();
                if late > monitor.slack() || self.off_since.is_some() {
                    self.missed += late;
                    self.gap = Some((self.covered, began));
                }
                // A clock that was set back takes nothing away: the soak's end stays where it is.
                self.covered = later(began, monitor.every).max(ended);
                (self.off_since, self.failing_since) = (None, None);
            }
            RunResult::Failed => {
                self.off_since.get_or_insert(began);
                self.failing_since.get_or_insert(began);
            }
            RunResult::Unanswered => {
                self.off_since.get_or_insert(began);
            }
        }
    }

    /// It has failed for as long as it takes to count.
    #[must_use]
    pub fn has_failed(&self, monitor: Rhythm<'_>) -> bool {
        let failed = self.last.filter(|run| run.result == RunResult::Failed);
        match (failed, self.failing_since) {
            (Some(run), Some(since)) => run.at >= later(since, monitor.patience),
            _ => false,
        }
    }

    #[must_use]
    pub fn passes(&self) -> bool {
        self.last.is_some_and(|run| run.result == RunResult::Passed)
    }

    /// When it is to run next; None: at once.
    #[must_use]
    pub fn next(&self, monitor: Rhythm<'_>) -> Option<Timestamp> {
        let run = self.last?;
        let regular = later(run.at, monitor.every);
        Some(match (run.result, self.failing_since) {
            (RunResult::Passed, _) | (RunResult::Failed, None) => regular,
            // Its failure is to count, or not, on time.
            (RunResult::Failed, Some(since)) => regular.min(later(since, monitor.patience)),
            (RunResult::Unanswered, _) => regular.min(later(run.at, ASK_AGAIN)),
        })
    }

    /// Whether it is to run in a soak that ends then. A run that lies ahead is one of a clock that was set back.
    #[must_use]
    pub fn is_due(&self, monitor: Rhythm<'_>, end: Timestamp, now: Timestamp) -> bool {
        let (Some(run), Some(next)) = (self.last, self.next(monitor)) else { return true };
        next <= now || run.at > now || (now >= end && run.at < end)
    }

    /// A person says that it goes on: what did not pass is asked anew, and has its patience anew.
    pub fn reopen(&mut self) {
        if !self.passes() {
            self.last = None;
            (self.off_since, self.failing_since) = (None, None);
        }
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONITOR: Rhythm<'_> =
        Rhythm { name: "quiet", every: Duration::from_mins(10), patience: Duration::from_mins(5) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn after(runs: &[(i64, RunResult)]) -> Evidence {
        let mut evidence = Evidence::new(at(0));
        for (second, result) in runs {
            evidence.take(MONITOR, *result, (at(*second), at(second + 1)));
        }
        evidence
    }

    #[test]
    fn runs_on_time_miss_nothing() {
        use RunResult::Passed;
        let evidence = after(&[(1, Passed), (601, Passed), (1_301, Passed)]);
        assert_eq!((evidence.missed, evidence.gap), (Duration::ZERO, None), "100 s late is on time");
        assert_eq!(evidence.next(MONITOR), Some(at(1_901)));
    }

    #[test]
    fn a_jump_of_the_clock_is_time_that_nobody_vouches_for() {
        use RunResult::Passed;
        let evidence = after(&[(0, Passed), (86_400, Passed)]);
        assert_eq!(evidence.missed, Duration::from_mins(1430));
        assert_eq!(evidence.gap, Some((at(600), at(86_400))));
    }

    #[test]
    fn a_clock_that_is_set_back_gives_nothing_and_does_not_stop_the_runs() {
        use RunResult::Passed;
        let evidence = after(&[(7_200, Passed)]);
        assert!(evidence.is_due(MONITOR, at(90_000), at(60)), "not only in two hours");
        let evidence = after(&[(7_200, Passed), (60, Passed)]);
        assert!(!evidence.is_due(MONITOR, at(90_000), at(61)));
        assert_eq!(evidence.missed, Duration::from_hours(2), "that of the first");
    }

    #[test]
    fn a_failure_counts_after_its_time_and_is_looked_at_then() {
        use RunResult::{Failed, Passed, Unanswered};
        let evidence = after(&[(0, Passed), (600, Failed)]);
        assert!(!evidence.has_failed(MONITOR));
        assert_eq!(evidence.next(MONITOR), Some(at(900)), "not only after its interval");
        assert!(after(&[(0, Passed), (600, Failed), (900, Failed)]).has_failed(MONITOR));
        // What can't be asked neither counts nor heals.
        assert!(!after(&[(600, Failed), (900, Unanswered)]).has_failed(MONITOR));
        assert!(after(&[(600, Failed), (700, Unanswered), (900, Failed)]).has_failed(MONITOR));
        assert!(!after(&[(600, Failed), (700, Passed), (900, Failed)]).has_failed(MONITOR));
        let strict = Rhythm { patience: Duration::ZERO, ..MONITOR };
        let mut at_once = Evidence::new(at(0));
        at_once.take(strict, Failed, (at(5), at(6)));
        assert!(at_once.has_failed(strict));
    }

    #[test]
    fn what_did_not_answer_is_asked_soon_and_its_time_is_missed() {
        use RunResult::{Passed, Unanswered};
        let evidence = after(&[(0, Passed), (600, Unanswered)]);
        assert_eq!(evidence.next(MONITOR), Some(at(630)));
        let evidence = after(&[(0, Passed), (600, Unanswered), (1_200, Unanswered), (1_500, Passed)]);
        assert_eq!((evidence.missed, evidence.off_since), (Duration::from_mins(15), None));
    }

    #[test]
    fn the_end_needs_a_run_of_its_own() {
        use RunResult::Passed;
        let evidence = after(&[(0, Passed), (600, Passed)]);
        assert!(!evidence.is_due(MONITOR, at(900), at(899)));
        assert!(evidence.is_due(MONITOR, at(900), at(900)));
    }
}
