//! So many wrong ones, and after that one more every while. It never waits, and knows no clock.

use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) burst: u32,
    /// For one more.
    pub(super) refill: Duration,
}

#[derive(Debug)]
pub(super) struct Bucket {
    allowance: Allowance,
    /// How many may still be wrong; never fewer than are under way.
    left: u32,
    under_way: u32,
    since: Instant,
}

/// Whether one more may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Free,
    /// Those that are under way may all be wrong; one of them has to end.
    Taken,
    /// So many were wrong; how long it is to the next.
    Spent(Duration),
}

impl Bucket {
    pub(super) fn full(allowance: Allowance, now: Instant) -> Self {
        Self { allowance, left: allowance.burst, under_way: 0, since: now }
    }

    pub(super) fn enter(&mut self, now: Instant) -> Entry {
        self.refill(now);
        if self.left == 0 {
            let waited = now.saturating_duration_since(self.since);
            return Entry::Spent(self.allowance.refill.saturating_sub(waited));
        }
        if self.under_way >= self.left {
            return Entry::Taken;
        }
        self.under_way += 1;
        Entry::Free
    }

    /// One that had entered has ended.
    pub(super) fn leave(&mut self, wrong: bool, now: Instant) {
        self.refill(now);
        self.under_way = self.under_way.saturating_sub(1);
        if wrong {
            self.left = self.left.saturating_sub(1);
        }
    }

    /// Whether it says no more than a new one.
    pub(super) fn is_quiet(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.under_way == 0 && self.left == self.allowance.burst
    }

    fn refill(&mut self, now: Instant) {
        let refills = now.saturating_duration_since(self.since).as_nanos() / self.allowance.refill.as_nanos();
        let refills = u32::try_from(refills).unwrap_or(u32::MAX);
        if refills >= self.allowance.burst - self.left {
            (self.left, self.since) = (self.allowance.burst, now);
        } else {
            self.left += refills;
            self.since += self.allowance.refill * refills;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance { burst: 10, refill: Duration::from_secs(10) };

    /// How many wrong ones get through at one moment.
    fn wrong_ones(bucket: &mut Bucket, now: Instant) -> u32 {
        let mut count = 0;
        while bucket.enter(now) == Entry::Free {
            bucket.leave(true, now);
            count += 1;
        }
        count
    }

    #[test]
    fn after_the_burst_there_is_one_at_a_time() {
        let now = Instant::now();
        let mut bucket = Bucket::full(ALLOWANCE, now);
        assert_eq!(wrong_ones(&mut bucket, now), 10);
        assert_eq!(bucket.enter(now), Entry::Spent(Duration::from_secs(10)));
        assert_eq!(bucket.enter(now + Duration::from_secs(4)), Entry::Spent(Duration::from_secs(6)));
        assert_eq!(wrong_ones(&mut bucket, now + Duration::from_secs(25)), 2);
        assert_eq!(wrong_ones(&mut bucket, now + Duration::from_secs(10_000)), 10);
    }

    #[test]
    fn no_more_are_under_way_than_may_be_wrong() {
        let now = Instant::now();
        let mut bucket = Bucket::full(ALLOWANCE, now);
        for _ in 0..7 {
            assert_eq!(bucket.enter(now), Entry::Free);
            bucket.leave(true, now);
        }
        assert_eq!([bucket.enter(now), bucket.enter(now), bucket.enter(now)], [Entry::Free; 3]);
        assert_eq!(bucket.enter(now), Entry::Taken);
        bucket.leave(false, now);
        assert_eq!(bucket.enter(now), Entry::Free, "one that was right costs nothing");
        (0..3).for_each(|_| bucket.leave(true, now));
        assert!(matches!(bucket.enter(now), Entry::Spent(_)));
        assert!(!bucket.is_quiet(now) && bucket.is_quiet(now + Duration::from_secs(100)));
    }
}
