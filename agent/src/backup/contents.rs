//! What a database holds: its tables, each with the number of its rows and one hash over all of them, whatever their order;
//! where its sequences stand; its large objects.
//!
//! A row is hashed as the text that PostgreSQL writes it as, column by column in the order of their names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stopover_model::report::StepError;
use tokio_postgres::Row;

use crate::postgres::{QueryError, Session, step_error};

/// A table whose rows a dump holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    /// Of its own data, as the last VACUUM knew it.
    pub(super) bytes: u64,
    columns: Vec<String>,
    /// Of an extension's table for settings: which rows are not the extension's own. Else empty.
    condition: String,
}

/// All rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rows {
    pub(crate) count: u64,
    /// The sum of the rows' hashes.
    hash: String,
}

/// Where a sequence stands; None: it has given nothing out.
pub(super) type Sequences = BTreeMap<String, Option<i64>>;

impl Table {
    /// As people write it.
    pub(super) fn shown(&self) -> String {
        crate::postgres::shown(&format!("{}.{}", self.schema, self.name), 140)
    }

    /// As SQL takes it.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }

    fn query(&self) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|column| format!("t.{}", quoted(column))).collect();
        // No cast: somebody may have made one of their own.
        let text = format!("pg_catalog.textin(pg_catalog.record_out(ROW({})))", columns.join(", "));
        format!(
            "SELECT count(*), coalesce(sum(pg_catalog.hashtextextended({text} COLLATE \"C\", 0)), 0)::text FROM ONLY {} t {}",
            self.quoted(),
            self.condition
        )
    }
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The tables, the largest first.
pub(super) async fn tables(session: &Session) -> Result<Vec<Table>, StepError> {
    let rows = session.client().query_typed(TABLES, &[]).await;
    let rows = rows.map_err(|error| step_error("list the tables that are to be compared", error))?;
    let table = |row: &Row| Table {
        schema: row.get(0),
        name: row.get(1),
        bytes: u64::try_from(row.get::<_, i64>(2)).unwrap_or(0),
        columns: row.get(3),
        condition: row.get(4),
    };
    Ok(rows.iter().map(table).collect())
}

/// All rows of a table; None where there is no such table, or not with these columns.
pub(super) async fn rows_of(session: &Session, table: &Table) -> Result<Option<Rows>, StepError> {
    match session.client().query_typed_one(&table.query(), &[]).await {
        Ok(row) => {
            let count = u64::try_from(row.get::<_, i64>(0)).unwrap_or(0);
            Ok(Some(Rows { count, hash: row.get(1) }))
        }
        Err(error) => match session.error(error) {
            // Undefined: the table, its schema, a column.
            QueryError::Database(error) if matches!(error.sqlstate.as_str(), "42P01" | "3F000" | "42703") => {
                Ok(None)
            }
            error => Err(error.into_step_error(&format!("read the rows of {}", table.shown()))),
        },
    }
}

pub(super) async fn sequences(session: &Session) -> Result<Sequences, StepError> {
    let rows = session.client().query_typed(SEQUENCES, &[]).await;
    let rows = rows.map_err(|error| step_error("ask where the sequences stand", error))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Rows of large objects: how many there are, and their content.
pub(super) async fn large_objects(session: &Session) -> Result<Rows, StepError> {
    let row = session.client().query_typed_one(LARGE_OBJECTS, &[]).await;
    let row = row.map_err(|error| step_error("read the large objects", error))?;
    Ok(Rows { count: u64::try_from(row.get::<_, i64>(0)).unwrap_or(0), hash: row.get(1) })
}

/// Indexes that a dump leaves out, by their names in a fingerprint: a failed CREATE INDEX CONCURRENTLY left them.
pub(super) async fn invalid_indexes(session: &Session) -> Result<Vec<String>, StepError> {
    let rows = session.client().query_typed(INVALID, &[]).await;
    let rows = rows.map_err(|error| step_error("ask for invalid indexes", error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

const TABLES: &str = "
SELECT n.nspname::text, c.relname::text,
    c.relpages::bigint * pg_catalog.current_setting('block_size')::bigint,
    ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
          WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v' ORDER BY 1),
    coalesce(config.condition, '')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT coalesce(e.extcondition[i], '') AS condition
    FROM pg_catalog.pg_extension e, pg_catalog.generate_subscripts(e.extconfig, 1) i WHERE e.extconfig[i] = c.oid LIMIT 1
) config ON true
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND (config.condition IS NOT NULL OR NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e'))
ORDER BY 3 DESC, 1, 2";

const SEQUENCES: &str = "
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.pg_sequence_last_value(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'S' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')";

/// By their number: a restore keeps it.
const LARGE_OBJECTS: &str = "
SELECT count(*), coalesce(sum(('x' || pg_catalog.encode(pg_catalog.substring(
    pg_catalog.sha256(pg_catalog.lo_get(oid) || pg_catalog.convert_to(oid::text, 'UTF8')), 1, 8), 'hex'))::bit(64)::bigint), 0)::text
FROM pg_catalog.pg_largeobject_metadata";

const INVALID: &str = "
SELECT 'index ' || CASE WHEN n.nspname = 'public' THEN '' ELSE pg_catalog.quote_ident(n.nspname) || '.' END
    || pg_catalog.quote_ident(t.relname) || '.' || pg_catalog.quote_ident(i.relname)
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid AND i.relkind = 'i'
JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE NOT x.indisvalid OR NOT x.indisready";
