//! Whether an index serves a query.
//!
//! The planner of a tiny table reads it whole whatever indexes there are, and one that knows nothing yet of a new column
//! guesses. Both are told apart from an index that can't serve the query, or that the planner knowingly leaves aside.

use stopover_model::plan::grouped;
use stopover_model::sql::Name;

use super::Finding;
use super::answer::Answer;
use super::plan::Plan;
use crate::postgres::{QueryError, Session};

/// Below this many rows a sequential scan says nothing about an index.
const FEW_ROWS: u64 = 10_000;

/// What the catalogs say about the index.
struct Facts {
    /// Its name, and those of its parts on partitions.
    names: Vec<String>,
    usable: bool,
    table: String,
    /// As far as they were counted: up to [`FEW_ROWS`].
    few_rows: Option<u64>,
    rows: u64,
    /// The planner has seen the index's columns as they are now.
    known: bool,
}

pub(super) async fn look(session: &Session, sql: &str, index: &str) -> Result<Finding, QueryError> {
    let Some(facts) = Facts::find(session, index).await? else {
        return Ok(Finding::failed(format!("there is no index {index}")));
    };
    if !facts.usable {
        let why = "it is there and invalid: its build did not finish; drop it and build it again";
        return Ok(Finding::failed(why));
    }
    let plan = explain(session, sql).await?;
    if plan.uses(&facts.names) {
        return Ok(Finding::passed(plan.scans()));
    }
    session
        .client()
        .batch_execute("SET LOCAL enable_seqscan = off")
        .await
        .map_err(|error| session.error(error))?;
    let without = explain(session, sql).await?;
    if !without.uses(&facts.names) {
        return Ok(Finding::failed(format!("{}; the index can't serve this query", plan.scans())));
    }
    Ok(facts.judge(&plan))
}

impl Facts {
    async fn find(session: &Session, index: &str) -> Result<Option<Self>, QueryError> {
        let name: Name = index.parse().unwrap_or_else(|_| Name::unqualified(index));
        let client = session.client();
        let failed = |error| session.error(error);
        let Some(row) = client.query_opt(FIND, &[&name.name, &name.schema]).await.map_err(failed)? else {
            return Ok(None);
        };
        let (oid, table_oid, table): (u32, u32, String) = (row.get(0), row.get(1), row.get(3));
        let names = client.query(FAMILY, &[&oid]).await.map_err(failed)?;
        let counted = Answer::of(
            session,
            &format!("SELECT count(*) FROM (SELECT FROM {table} LIMIT {FEW_ROWS}) AS few"),
        )
        .await;
        let estimated = u64::try_from(row.get::<_, i64>(4)).unwrap_or(0);
        let few_rows = counted?.value().and_then(|n| n.parse().ok()).filter(|n| *n < FEW_ROWS);
        let known: bool = client.query_one(KNOWN, &[&oid, &table_oid]).await.map_err(failed)?.get(0);
        Ok(Some(Self {
            names: names.iter().map(|row| row.get(0)).collect(),
            usable: row.get(2),
            table,
            few_rows,
            rows: few_rows.unwrap_or(estimated.max(FEW_ROWS)),
            known,
        }))
    }

    /// The index could serve the query, and the planner did not take it.
    fn judge(&self, plan: &Plan) -> Finding {
        let (table, scans) = (&self.table, plan.scans());
        let served = "with sequential scans off the index serves the query";
        if let Some(rows) = self.few_rows {
            let note = format!(
                "{table} has {} rows, so few that the planner reads it whole; {served}",
                grouped(rows)
            );
            return Finding::passed(scans).with_note(note);
        }
        if !self.known {
            let note = format!(
                "{table} was not analyzed since it changed, so that the planner can't know better yet; {served}"
            );
            return Finding::passed(scans).with_note(note);
        }
        Finding::failed(format!(
            "{scans}: of about {} rows the planner expects to need so many that the index does not pay",
            grouped(self.rows)
        ))
    }
}

async fn explain(session: &Session, sql: &str) -> Result<Plan, QueryError> {
    let sql = sql.trim().trim_end_matches(';');
    let answer = Answer::of(session, &format!("EXPLAIN (FORMAT JSON) {sql}")).await?;
    let plan = answer.value().and_then(Plan::parse);
    plan.ok_or_else(|| QueryError::Answer("the plan of the query".to_owned()))
}

/// By name, the one on the search path first.
const FIND: &str = "
SELECT c.oid, x.indrelid, x.indisvalid AND x.indisready,
       pg_catalog.quote_ident(tn.nspname) || '.' || pg_catalog.quote_ident(t.relname), t.reltuples::bigint
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_index x ON x.indexrelid = c.oid
JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE c.relname = $1 AND ($2::text IS NULL OR n.nspname = $2)
ORDER BY pg_catalog.pg_table_is_visible(c.oid) DESC, n.nspname
LIMIT 1";

/// The index and its parts on partitions.
const FAMILY: &str = "
WITH RECURSIVE family (oid) AS (
    SELECT $1::oid
    UNION ALL
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN family f ON i.inhparent = f.oid
)
SELECT c.relname::text FROM family f JOIN pg_catalog.pg_class c ON c.oid = f.oid";

/// Whether statistics are there for each of the index's columns (those of its expressions and predicate included), and
/// not much was changed since. Columns that statistics are off for never have any.
const KNOWN: &str = "
SELECT NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    JOIN pg_catalog.pg_class t ON t.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = $1::oid AND d.refobjid = $2::oid AND d.refobjsubid > 0
      AND a.attstattarget IS DISTINCT FROM 0
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_stats s
          WHERE s.schemaname = n.nspname AND s.tablename = t.relname AND s.attname = a.attname)
) AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_stat_all_tables s
    WHERE s.relid = $2::oid AND s.n_mod_since_analyze > greatest(1000, s.n_live_tup / 10)
)";
