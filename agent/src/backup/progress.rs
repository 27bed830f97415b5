//! How far a running dump has come: PostgreSQL's own view of the copy that goes on, against the sizes of the tables; and
//! whom the dump waits for.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use stopover_model::report::{Progress, ProgressUnit, Session as Blocker};

use super::facts::{Facts, Relation};
use super::members;
use crate::postgres::{Purpose, QueryError, Session, SessionName, blockers, shown};
use crate::step::StepContext;

const EVERY: Duration = Duration::from_millis(500);

const SCHEMA: &str = "reading the schema";

/// Reports progress until it is dropped. What it can't find out is not shown; the dump does not depend on it. Of several jobs
/// nobody knows how far they are: what they have written into their directory is told.
pub(super) async fn watch(context: &StepContext, facts: &Facts, directory: Option<&Path>) -> Infallible {
    let name = SessionName::of(context);
    report(context, SCHEMA.to_owned(), 0, facts.tables_bytes);
    if let Ok(session) = context.database.connect(&Purpose::reading(&name)).await {
        // It ends when the session is lost.
        let _ = look(context, (facts, directory), &session, &name.to_string()).await;
    }
    std::future::pending().await
}

async fn look(
    context: &StepContext,
    (facts, directory): (&Facts, Option<&Path>),
    session: &Session,
    name: &str,
) -> Result<Infallible, QueryError> {
    let mut ticks = tokio::time::interval(EVERY);
    let (mut furthest, mut waited, mut named) = (0, false, BTreeSet::new());
    loop {
        ticks.tick().await;
        let waits_for = waits_for(session, name).await?;
        let waits = !waits_for.is_empty();
        for blocker in waits_for.iter().filter(|blocker| named.insert(blocker.pid)) {
            context
                .reporter
                .message(format!("pg_dump waits for {blocker}, which holds a lock that the dump needs"));
        }
        let doing = if waits {
            "waiting for a lock".to_owned()
        } else if let Some((schema, table, copied)) = copy(session, name).await? {
            furthest = done(&facts.tables, &schema, &table, copied).max(furthest);
            format!("copying {}.{}", shown(&schema, 63), shown(&table, 63))
        } else if waited {
            SCHEMA.to_owned()
        } else {
            continue;
        };
        waited = waits;
        match directory {
            Some(directory) => report(context, doing, members::size(directory), 0),
            None => report(context, doing, furthest, facts.tables_bytes),
        }
    }
}

/// Whom the dump's own session waits for. This one has the same name.
async fn waits_for(session: &Session, name: &str) -> Result<Vec<Blocker>, QueryError> {
    let rows = session.client().query(WAITING, &[&name]).await.map_err(|error| session.error(error))?;
    match rows.first() {
        Some(row) => Ok(blockers(session, row.get(0), false).await?.sessions),
        None => Ok(Vec::new()),
    }
}

/// The table that is being copied, and how many of its rows are.
async fn copy(session: &Session, name: &str) -> Result<Option<(String, String, u64)>, QueryError> {
    let row = session.client().query_opt(COPY, &[&name]).await.map_err(|error| session.error(error))?;
    Ok(row.map(|row| (row.get(0), row.get(1), u64::try_from(row.get::<_, i64>(2)).unwrap_or(0))))
}

fn report(context: &StepContext, doing: String, done: u64, total: u64) {
    context.reporter.progress(Progress { doing, done, total, unit: ProgressUnit::Bytes, backfill: None });
}

/// The tables before this one are done; of this one, the part of its rows that was copied.
fn done(tables: &[Relation], schema: &str, name: &str, rows_copied: u64) -> u64 {
    let before = tables.iter().take_while(|t| (t.schema.as_str(), t.name.as_str()) < (schema, name));
    let before: u64 = before.map(|table| table.bytes).sum();
    let current = tables.iter().find(|t| t.schema == schema && t.name == name);
    let part = current.filter(|table| table.rows > 0).map_or(0, |table| {
        let bytes =
            u128::from(table.bytes) * u128::from(rows_copied.min(table.rows)) / u128::from(table.rows);
        u64::try_from(bytes).unwrap_or(table.bytes)
    });
    before + part
}

const WAITING: &str = "
SELECT pid FROM pg_catalog.pg_stat_activity
WHERE application_name = $1 AND datname = pg_catalog.current_database() AND wait_event_type = 'Lock'
    AND pid <> pg_catalog.pg_backend_pid()
LIMIT 1";

const COPY: &str = "
SELECT n.nspname::text, c.relname::text, p.tuples_processed
FROM pg_catalog.pg_stat_progress_copy p
JOIN pg_catalog.pg_stat_activity a ON a.pid = p.pid
JOIN pg_catalog.pg_class c ON c.oid = p.relid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.application_name = $1 AND p.datname = pg_catalog.current_database()
LIMIT 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_the_tables_before_and_a_part_of_this_one() {
        let table = |name: &str, bytes, rows| Relation {
            schema: "public".to_owned(),
            name: name.to_owned(),
            bytes,
            rows,
        };
        let tables = [table("a", 100, 10), table("b", 1_000, 10), table("c", 50, 0)];
        assert_eq!(done(&tables, "public", "a", 0), 0);
        assert_eq!(done(&tables, "public", "b", 5), 600);
        assert_eq!(done(&tables, "public", "b", 99), 1_100);
        assert_eq!(done(&tables, "public", "c", 7), 1_100);
    }
}
