//! What holds a backfill back: limits on what can be read of the live database, and which of them are passed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration::{self, human};

/// The limits; None switches a signal off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brakes {
    /// Bytes of WAL that a standby has yet to replay (chapter 27.2 of PostgreSQL's manual).
    pub replica_behind: Option<u64>,
    /// Bytes of WAL that are written and not archived; without archiving it says nothing.
    pub archive_behind: Option<u64>,
    /// Bytes of WAL that the whole server writes in a second.
    pub wal_rate: Option<u64>,
    /// Sessions that wait for a lock on the table, or for a row that a batch holds.
    pub lock_waiters: Option<u32>,
    /// The age of the oldest transaction of others in the database: nothing can be vacuumed behind it.
    #[serde(default, with = "duration::optional")]
    pub oldest_transaction: Option<Duration>,
    /// Whether an autovacuum of the table is left alone with it.
    pub autovacuum: bool,
    /// A query of the application's, and what its 99th percentile may take.
    pub canary: Option<Canary>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// One query that reads.
    pub sql: String,
    #[serde(with = "crate::duration")]
    pub p99: Duration,
}

/// The careful ones. A standby that is 64 MiB behind serves stale reads, and fails over late.
impl Default for Brakes {
    fn default() -> Self {
        Self {
            replica_behind: Some(64 << 20),
            archive_behind: Some(1 << 30),
            wal_rate: None,
            lock_waiters: Some(1),
            oldest_transaction: Some(Duration::from_mins(15)),
            autovacuum: false,
            canary: None,
        }
    }
}

/// One look at a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading<T> {
    Value(T),
    /// There is nothing to read: no standby, no archive.
    Absent,
    /// It could not be read, and why.
    Unreadable(String),
}

/// One look at all signals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signals {
    /// Of the standby that is furthest behind, with its name.
    pub replica_behind: Reading<(String, u64)>,
    pub archive_behind: Reading<u64>,
    pub wal_rate: Reading<u64>,
    pub lock_waiters: Reading<u32>,
    /// With who has it open.
    pub oldest_transaction: Reading<(String, Duration)>,
    pub autovacuum: Reading<bool>,
    pub canary: Reading<Duration>,
}

/// A signal that holds a backfill, and what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    pub signal: Signal,
    /// For people: "the standby eu-2 is 100 MiB behind (limit 64 MiB)".
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    ReplicaBehind,
    ArchiveBehind,
    WalRate,
    LockWaiters,
    OldestTransaction,
    Autovacuum,
    Canary,
    /// Nothing at all can be read.
    Everything,
}

impl Brakes {
    /// Why no batch may begin now; empty when one may. What can't be read holds as well: it may be passed.
    #[must_use]
    pub fn holds(&self, now: &Signals) -> Vec<Hold> {
        let mut holds = Vec::new();
        let mut look = |signal, hold: Option<String>| holds.extend(hold.map(|text| Hold { signal, text }));
        look(
            Signal::ReplicaBehind,
            over(
                self.replica_behind.as_ref(),
                &now.replica_behind,
                "how far the standbys are behind",
                |limit, (name, bytes)| {
                    (bytes > limit).then(|| {
                        format!(
                            "the standby {name} is {} behind (limit {})",
                            bytes_text(*bytes),
                            bytes_text(*limit)
                        )
                    })
                },
            ),
        );
        look(
            Signal::ArchiveBehind,
            over(
                self.archive_behind.as_ref(),
                &now.archive_behind,
                "how far WAL archiving is behind",
                |limit, bytes| {
                    (bytes > limit).then(|| {
                        format!(
                            "WAL archiving is {} behind (limit {})",
                            bytes_text(*bytes),
                            bytes_text(*limit)
                        )
                    })
                },
            ),
        );
        look(
            Signal::WalRate,
            over(self.wal_rate.as_ref(), &now.wal_rate, "the rate of WAL", |limit, rate| {
                (rate > limit).then(|| {
                    format!(
                        "the server writes {}/s of WAL (limit {}/s)",
                        bytes_text(*rate),
                        bytes_text(*limit)
                    )
                })
            }),
        );
        look(
            Signal::LockWaiters,
            over(
                self.lock_waiters.as_ref(),
                &now.lock_waiters,
                "who waits for a lock on the table",
                |limit, waiters| {
                    (waiters >= limit)
                        .then(|| format!("{waiters} sessions wait for a lock on the table (limit {limit})"))
                },
            ),
        );
        look(
            Signal::OldestTransaction,
            over(
                self.oldest_transaction.as_ref(),
                &now.oldest_transaction,
                "the oldest transaction",
                |limit, (who, age)| {
                    (age > limit).then(|| {
                        format!(
                            "{who} has had a transaction open for {} (limit {})",
                            human(*age),
                            human(*limit)
                        )
                    })
                },
            ),
        );
        let wanted = self.autovacuum.then_some(());
        look(
            Signal::Autovacuum,
            over(wanted.as_ref(), &now.autovacuum, "whether autovacuum is at the table", |(), there| {
                there.then(|| "autovacuum is at work on the table".to_owned())
            }),
        );
        look(
            Signal::Canary,
            over(self.canary.as_ref(), &now.canary, "the canary query", |canary, p99| {
                (*p99 > canary.p99).then(|| {
                    format!("the canary query's p99 is {} (limit {})", human(*p99), human(canary.p99))
                })
            }),
        );
        holds
    }
}

fn over<L, T>(
    limit: Option<&L>,
    reading: &Reading<T>,
    signal: &str,
    passed: impl FnOnce(&L, &T) -> Option<String>,
) -> Option<String> {
    match (limit?, reading) {
        (limit, Reading::Value(value)) => passed(limit, value),
        (_, Reading::Absent) => None,
        (_, Reading::Unreadable(why)) => Some(format!("{signal} can't be read: {why}")),
    }
}

/// 1536 as 1.5 KiB.
#[must_use]
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit behind the point")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 10.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(brakes: &Brakes, signals: &Signals) -> Vec<String> {
        brakes.holds(signals).into_iter().map(|hold| hold.text).collect()
    }

    fn calm() -> Signals {
        Signals {
            replica_behind: Reading::Absent,
            archive_behind: Reading::Absent,
            wal_rate: Reading::Value(1 << 40),
            lock_waiters: Reading::Value(0),
            oldest_transaction: Reading::Absent,
            autovacuum: Reading::Value(true),
            canary: Reading::Absent,
        }
    }

    #[test]
    fn what_is_switched_off_or_not_there_holds_nothing() {
        assert_eq!(texts(&Brakes::default(), &calm()), Vec::<String>::new());
    }

    #[test]
    fn each_limit_that_is_passed_says_what_it_read_and_what_it_allows() {
        let brakes = Brakes {
            wal_rate: Some(10 << 20),
            autovacuum: true,
            canary: Some(Canary { sql: "SELECT 1".to_owned(), p99: Duration::from_millis(20) }),
            ..Brakes::default()
        };
        let signals = Signals {
            replica_behind: Reading::Value(("eu-2".to_owned(), 100 << 20)),
            archive_behind: Reading::Value(3 << 30),
            wal_rate: Reading::Value(12 << 20),
            lock_waiters: Reading::Value(2),
            oldest_transaction: Reading::Value(("pid 12 (report)".to_owned(), Duration::from_hours(1))),
            autovacuum: Reading::Value(true),
            canary: Reading::Value(Duration::from_millis(21)),
        };
        assert_eq!(
            texts(&brakes, &signals),
            [
                "the standby eu-2 is 100 MiB behind (limit 64 MiB)",
                "WAL archiving is 3.0 GiB behind (limit 1.0 GiB)",
                "the server writes 12 MiB/s of WAL (limit 10 MiB/s)",
                "2 sessions wait for a lock on the table (limit 1)",
                "pid 12 (report) has had a transaction open for 1h 00m (limit 15m 00s)",
                "autovacuum is at work on the table",
                "the canary query's p99 is 21 ms (limit 20 ms)",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_holds_and_says_so() {
        let unreadable = Signals {
            replica_behind: Reading::Unreadable("GRANT pg_monitor TO stopover".to_owned()),
            ..calm()
        };
        assert_eq!(
            texts(&Brakes::default(), &unreadable),
            ["how far the standbys are behind can't be read: GRANT pg_monitor TO stopover"]
        );
    }
}
