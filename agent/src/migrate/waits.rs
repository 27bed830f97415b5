//! How long one transaction has waited for locks, and how long it may still.
//!
//! A transaction that has its first strong lock and waits for the second keeps everybody from the first meanwhile, and
//! whoever came behind its first wait has waited through it as well. PostgreSQL's `lock_timeout` bounds each wait by
//! itself; here all waits of one transaction share one. Time at work is not counted: a rewrite may take as long as it
//! takes, and a later statement still has its patience.

use std::time::Duration;

use tokio::time::Instant;

/// Whoever takes an idle lock is through in this time; what is beyond in a statement that nobody looked at may have been a
/// wait.
const AT_WORK: Duration = Duration::from_millis(3);
/// With all patience spent, each further statement still has this part of it: a writer in the midst of its transaction is
/// no reason to begin anew.
const LEAST_PART: u32 = 10;

#[derive(Debug)]
pub(super) struct Waits {
    limit: Duration,
    /// None: each statement has all of the limit. It commits in between, so that no lock outlives its wait.
    waited: Option<Duration>,
    statement: Option<Statement>,
}

/// The one that runs.
#[derive(Debug)]
struct Statement {
    /// Up to here it is known whether it waited.
    known: Instant,
    /// At the last look.
    waiting: Option<bool>,
}

impl Waits {
    /// Of one transaction.
    pub(super) fn together(limit: Duration) -> Self {
        Self { limit, waited: Some(Duration::ZERO), statement: None }
    }

    /// Of a statement that no transaction holds.
    pub(super) fn each(limit: Duration) -> Self {
        Self { limit, waited: None, statement: None }
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// All waits count together.
    pub(super) fn are_counted(&self) -> bool {
        self.waited.is_some()
    }

    /// For the next statement.
    pub(super) fn lock_timeout(&self) -> Duration {
        let left = self.limit.saturating_sub(self.waited.unwrap_or_default());
        left.max(self.limit / LEAST_PART).max(Duration::from_millis(1))
    }

    pub(super) fn begins(&mut self, now: Instant) {
        self.statement = Some(Statement { known: now, waiting: None });
    }

    /// Somebody has looked whether the statement waits. True: it has waited long enough, and is waiting.
    pub(super) fn looked(&mut self, now: Instant, waiting: bool) -> bool {
        let Some(statement) = &mut self.statement else { return false };
        let gap = now.saturating_duration_since(statement.known);
        // What it did between two looks that differ is not known: half of it.
        let before = statement.waiting.unwrap_or(waiting);
        let part = gap / 2 * (u32::from(before) + u32::from(waiting));
        *statement = Statement { known: now, waiting: Some(waiting) };
        self.add(part);
        waiting && self.waited.is_some_and(|waited| waited > self.limit)
    }

    pub(super) fn ends(&mut self, now: Instant) {
        let Some(statement) = self.statement.take() else { return };
        let gap = now.saturating_duration_since(statement.known);
        self.add(match statement.waiting {
            None => gap.saturating_sub(AT_WORK).min(self.limit),
            Some(true) => gap / 2,
            Some(false) => Duration::ZERO,
        });
    }

    fn add(&mut self, part: Duration) {
        if let Some(waited) = &mut self.waited {
            *waited += part;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_one_statement_has_waited_the_next_one_has_less_of() {
        let mut waits = Waits::together(LIMIT);
        let start = Instant::now();
        waits.begins(start);
        assert!(!waits.looked(start + ms(30), true));
        assert!(!waits.looked(start + ms(50), true));
        // It got its lock somewhere here, and worked on for a while.
        assert!(!waits.looked(start + ms(60), false));
        assert!(!waits.looked(start + ms(5_000), false));
        waits.ends(start + ms(5_040));
        assert_eq!(waits.lock_timeout(), ms(45));
        waits.begins(start);
        assert!(waits.looked(start + ms(46), true), "together it is more than the limit");
    }

    #[test]
    fn long_work_takes_no_patience_away() {
        let mut waits = Waits::together(LIMIT);
        let start = Instant::now();
        for _ in 0..10 {
            waits.begins(start);
            waits.looked(start + ms(12), false);
            waits.ends(start + ms(9_000));
            waits.begins(start);
            waits.ends(start + ms(2));
        }
        assert_eq!(waits.lock_timeout(), LIMIT);
    }

    #[test]
    fn a_statement_that_nobody_looked_at_may_have_waited() {
        let mut waits = Waits::together(LIMIT);
        let start = Instant::now();
        waits.begins(start);
        waits.ends(start + ms(23));
        assert_eq!(waits.lock_timeout(), ms(80));
        waits.begins(start);
        waits.ends(start + ms(3_000));
        assert_eq!(waits.lock_timeout(), ms(10), "some patience is always left");
        assert_eq!(Waits::together(ms(1)).lock_timeout(), ms(1), "0 would wait for ever");
    }

    #[test]
    fn a_statement_on_its_own_has_all_of_it_each_time() {
        let mut waits = Waits::each(LIMIT);
        let start = Instant::now();
        waits.begins(start);
        assert!(!waits.looked(start + ms(500), true));
        waits.ends(start + ms(600));
        assert_eq!(waits.lock_timeout(), LIMIT);
    }
}
