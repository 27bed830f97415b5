//! How many rows the next batch should have: sized by time, since what a batch costs others is the time of its row locks.

use std::collections::VecDeque;
use std::time::Duration;

/// Follows what batches took.
#[derive(Debug, Clone)]
pub struct Pace {
    target: Duration,
    rows: u32,
    /// Seconds a row of the last batches.
    costs: VecDeque<f64>,
}

impl Pace {
    pub const DEFAULT_TARGET: Duration = Duration::from_millis(100);
    const FIRST: u32 = 1_000;
    const LEAST: u32 = 1;
    const MOST: u32 = 1_000_000;
    const WINDOW: usize = 20;
    /// From one batch to the next, at most.
    const GROWTH: f64 = 1.5;
    /// A batch that took so many times what it should is no noise.
    const ALARM: f64 = 5.0;

    /// Begins carefully, or with the size that an earlier run had found.
    #[must_use]
    pub fn new(target: Duration, known: Option<u32>) -> Self {
        let rows = known.unwrap_or(Self::FIRST).clamp(Self::LEAST, Self::MOST);
        Self { target: target.max(Duration::from_millis(1)), rows, costs: VecDeque::new() }
    }

    /// Another time for a batch, from the next one on.
    pub fn retarget(&mut self, target: Duration) {
        self.target = target.max(Duration::from_millis(1));
    }

    /// How many rows the next batch should have.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// A batch of so many rows of the key took so long.
    pub fn took(&mut self, rows: u32, took: Duration) {
        if rows == 0 {
            return;
        }
        let (took, target) = (took.as_secs_f64(), self.target.as_secs_f64());
        if took > target * Self::ALARM {
            self.costs.clear();
            self.rows = (rows / 10).max(Self::LEAST);
            return;
        }
        if self.costs.len() == Self::WINDOW {
            self.costs.pop_front();
        }
        self.costs.push_back(took / f64::from(rows));
        let fits = target / self.slow_cost();
        let most = (f64::from(self.rows) * Self::GROWTH).min(f64::from(Self::MOST));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and a million"
        )]
        let next = fits.min(most).max(1.0) as u32;
        // Of one row half a row more is none.
        self.rows = if next <= self.rows && fits > most { (self.rows + 1).min(Self::MOST) } else { next };
    }

    /// The cost of a row that nine of ten batches stay under.
    fn slow_cost(&self) -> f64 {
        let mut costs: Vec<f64> = self.costs.iter().copied().collect();
        costs.sort_unstable_by(f64::total_cmp);
        let at = (costs.len() * 9).div_ceil(10).saturating_sub(1);
        costs.get(at).copied().unwrap_or(f64::MAX).max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(100);

    /// Batches until the size has settled, each row at a cost.
    fn settle(pace: &mut Pace, batches: usize, cost: Duration) -> Vec<u32> {
        let step = |_| {
            let rows = pace.rows();
            pace.took(rows, cost * rows);
            rows
        };
        (0..batches).map(step).collect()
    }

    #[test]
    fn it_grows_by_half_at_most_until_a_batch_takes_its_time() {
        let mut pace = Pace::new(TARGET, None);
        let sizes = settle(&mut pace, 20, Duration::from_micros(10));
        assert_eq!(sizes[0], 1_000);
        assert!(sizes.windows(2).all(|pair| pair[1] <= pair[0] * 3 / 2 + 1), "{sizes:?}");
        assert!((9_999..=10_000).contains(&pace.rows()), "{sizes:?}");
    }

    #[test]
    fn a_batch_far_over_its_time_divides_by_ten_at_once() {
        let mut pace = Pace::new(TARGET, Some(10_000));
        pace.took(10_000, Duration::from_millis(501));
        assert_eq!(pace.rows(), 1_000);
        pace.took(1_000, Duration::from_secs(10));
        pace.took(100, Duration::from_secs(10));
        pace.took(10, Duration::from_secs(10));
        pace.took(1, Duration::from_secs(10));
        assert_eq!(pace.rows(), 1);
    }

    #[test]
    fn one_slow_batch_among_many_is_no_reason_but_two_of_ten_are() {
        let mut pace = Pace::new(TARGET, Some(5_000));
        settle(&mut pace, 20, Duration::from_micros(10));
        let settled = pace.rows();
        pace.took(settled, Duration::from_millis(300));
        assert_eq!(pace.rows(), settled);
        settle(&mut pace, 8, Duration::from_micros(10));
        for _ in 0..3 {
            pace.took(pace.rows(), Duration::from_millis(300));
        }
        assert!(pace.rows() < settled / 2, "{} of {settled}", pace.rows());
    }

    #[test]
    fn it_comes_back_from_one_row_and_follows_another_target() {
        let mut pace = Pace::new(TARGET, Some(1));
        settle(&mut pace, 40, Duration::from_micros(10));
        assert!(pace.rows() > 9_000, "{}", pace.rows());
        pace.retarget(Duration::from_millis(10));
        settle(&mut pace, 1, Duration::from_micros(10));
        assert!((990..=1_000).contains(&pace.rows()), "{}", pace.rows());
    }

    #[test]
    fn a_batch_without_rows_says_nothing() {
        let mut pace = Pace::new(TARGET, Some(500));
        pace.took(0, Duration::from_mins(1));
        assert_eq!(pace.rows(), 500);
    }
}
