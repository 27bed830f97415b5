//! Looks at a script from beside it while it runs: what each statement writes to the log, which locks it takes, and for how
//! long they are held.
//!
//! Only a rehearsal has one, on a copy where nobody else works: whatever is locked there, the script has locked. It never
//! changes anything; where it can't look, less is known.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stopover_model::impact::LockMode;
use stopover_model::report::{HeldLock, RehearsedStatement};
use tokio::time::{Instant, sleep};

use crate::postgres::{ConnectError, Purpose, QueryError, Session, SessionName};
use crate::step::StepContext;

/// Between two looks while nothing ends.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// So many locks are told of.
const MOST_LOCKS: usize = 50;

pub(crate) struct Witness {
    session: Session,
    seen: Mutex<Seen>,
}

/// What was seen by now.
#[derive(Default)]
struct Seen {
    statements: Vec<RehearsedStatement>,
    /// The statement that runs: its place, since when, and where the log was then.
    current: Option<(u32, Instant, Option<i64>)>,
    /// The locks that were there at the last look, and when that was; each with its transaction.
    held: BTreeMap<(String, LockMode, String), Hold>,
    looked: Option<Instant>,
    /// Of each relation the strongest, with the longest time that it was held.
    locks: BTreeMap<String, HeldLock>,
}

#[derive(Debug, Clone, Copy)]
struct Hold {
    statement: u32,
    since: Instant,
    last: Instant,
}

/// What came of a script's run.
#[derive(Debug, Default)]
pub(crate) struct Witnessed {
    pub(crate) statements: Vec<RehearsedStatement>,
    pub(crate) locks: Vec<HeldLock>,
}

impl Witness {
    pub(crate) async fn of(context: &StepContext) -> Result<Self, ConnectError> {
        let session = context.database.connect(&Purpose::reading(&SessionName::of(context))).await?;
        Ok(Self { session, seen: Mutex::default() })
    }

    /// Looks again and again until it is dropped.
    pub(crate) async fn watch(&self) -> Infallible {
        loop {
            sleep(BETWEEN_LOOKS).await;
            self.look_at_locks().await;
        }
    }

    /// A statement is about to be sent.
    pub(super) async fn begins(&self, index: u32) {
        let wal = self.wal().await.ok();
        self.seen().current = Some((index, Instant::now(), wal));
    }

    /// It has ended well, and its transaction may still hold its locks.
    pub(super) async fn ended(&self, index: u32, rows: u64, took: Duration) {
        let (wal, ()) = tokio::join!(self.wal(), self.look_at_locks());
        let mut seen = self.seen();
        let before = seen.current.filter(|(current, ..)| *current == index).and_then(|(_, _, wal)| wal);
        let wal_bytes = match (before, wal) {
            (Some(before), Ok(now)) => u64::try_from(now - before).unwrap_or_default(),
            _ => 0,
        };
        seen.statements.retain(|statement| statement.index != index);
        seen.statements.push(RehearsedStatement { index, rows, took: in_micros(took), wal_bytes });
    }

    /// The transaction has ended, and its locks with it.
    pub(super) fn released(&self) {
        let mut seen = self.seen();
        let now = Instant::now();
        for ((relation, mode, _), hold) in std::mem::take(&mut seen.held) {
            seen.take_on(relation, mode, hold, now);
        }
    }

    /// What was seen in all.
    pub(crate) async fn close(self) -> Witnessed {
        self.released();
        let seen = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.session.close().await;
        let mut locks: Vec<HeldLock> = seen.locks.into_values().collect();
        locks.sort_by(|a, b| b.mode.cmp(&a.mode).then(b.held.cmp(&a.held)));
        locks.truncate(MOST_LOCKS);
        let mut statements = seen.statements;
        statements.sort_by_key(|statement| statement.index);
        Witnessed { statements, locks }
    }

    /// Where the server's log is, in bytes.
    pub(crate) async fn wal(&self) -> Result<i64, QueryError> {
        let row = self.session.client().query_typed_one(WAL, &[]).await.map_err(|e| self.session.error(e))?;
        Ok(row.get(0))
    }

    async fn look_at_locks(&self) {
        let Ok(rows) = self.session.client().query_typed(LOCKS, &[]).await else { return };
        let now = Instant::now();
        let mut seen = self.seen();
        let (statement, began) = seen.current.map_or((0, now), |(index, began, _)| (index, began));
        // One that was not there then was taken since.
        let since = seen.looked.replace(now).map_or(began, |last| last.max(began));
        let mut before = std::mem::take(&mut seen.held);
        for row in rows {
            let Some(mode) = mode_of(row.get(1)) else { continue };
            let key: (String, LockMode, String) = (row.get(0), mode, row.get(2));
            let known = before.remove(&key);
            let hold = known.map_or(Hold { statement, since, last: now }, |hold| Hold { last: now, ..hold });
            seen.held.insert(key, hold);
        }
        // Those that are gone were let go at some time since the last look.
        for ((relation, mode, _), hold) in before {
            seen.take_on(relation, mode, hold, hold.last);
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn take_on(&mut self, relation: String, mode: LockMode, hold: Hold, until: Instant) {
        let micros = in_micros(until.duration_since(hold.since));
        let new = HeldLock { relation: relation.clone(), mode, statement: hold.statement, held: micros };
        let known = self.locks.entry(relation).or_insert_with(|| new.clone());
        if (mode, micros) > (known.mode, known.held) {
            *known = new;
        }
    }
}

fn in_micros(time: Duration) -> Duration {
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// As `pg_locks` writes it: `ShareUpdateExclusiveLock`.
fn mode_of(text: &str) -> Option<LockMode> {
    let wanted = text.strip_suffix("Lock")?;
    LockMode::ALL.into_iter().find(|mode| mode.name().replace(' ', "").eq_ignore_ascii_case(wanted))
}

const WAL: &str = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint";

/// On what was committed before: nobody waits for a table that nobody else can see. Readers' locks block nobody either.
const LOCKS: &str = "\
SELECT DISTINCT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), l.mode, l.virtualtransaction \
FROM pg_catalog.pg_locks l \
JOIN pg_catalog.pg_class c ON c.oid = l.relation \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
WHERE l.locktype = 'relation' AND l.granted AND l.mode <> 'AccessShareLock' \
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
    AND l.pid <> pg_catalog.pg_backend_pid() AND a.backend_type IN ('client backend', 'parallel worker') \
    AND c.relkind IN ('r', 'p', 'm', 'v', 'f') \
    AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'stopover', 'stopover_saved')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_names_of_locks_are_known() {
        assert_eq!(mode_of("AccessExclusiveLock"), Some(LockMode::AccessExclusive));
        assert_eq!(mode_of("ShareUpdateExclusiveLock"), Some(LockMode::ShareUpdateExclusive));
        assert_eq!(mode_of("SIReadLock"), None);
    }

    #[test]
    fn of_a_relation_the_strongest_lock_and_its_longest_time_are_told() {
        let mut seen = Seen::default();
        let began = Instant::now();
        let hold = |statement| Hold { statement, since: began, last: began };
        let after = |millis| began + Duration::from_millis(millis);
        for (mode, statement, millis) in [
            (LockMode::RowExclusive, 0, 900),
            (LockMode::AccessExclusive, 1, 5),
            (LockMode::AccessExclusive, 2, 7),
            (LockMode::Share, 3, 50),
        ] {
            seen.take_on("public.t".to_owned(), mode, hold(statement), after(millis));
        }
        let lock = &seen.locks["public.t"];
        assert_eq!((lock.mode, lock.statement), (LockMode::AccessExclusive, 2));
        assert_eq!(lock.held, Duration::from_millis(7));
    }
}
