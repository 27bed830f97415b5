//! The tables that a sample is taken of, and how their copies are made.

use stopover_model::sql::{Name, quoted};

use super::NoSample;
use crate::postgres::Session;

/// A live table of which a few rows are copied.
pub(super) struct Source {
    /// As the inspection names it.
    pub(super) relation: String,
    pub(super) name: Name,
    /// Those that are not generated, quoted.
    columns: String,
    rows: f64,
    pages: i32,
}

/// Tables up to this size are read from their beginning; larger ones here and there.
const FEW_PAGES: i32 = 1_000;

/// Whether anything may be tried in this database at all.
pub(super) async fn allowed(session: &Session) -> Result<(), NoSample> {
    let row = session.client().query_one(ALLOWED, &[]).await.map_err(|e| session.error(e))?;
    if row.get(0) { Ok(()) } else { Err(NoSample::NotHere) }
}

/// A table whose copy would behave otherwise (row-level security, rules, partitions, another server's) is refused.
pub(super) async fn sources(session: &Session, relations: &[String]) -> Result<Vec<Source>, NoSample> {
    let mut sources: Vec<Source> = Vec::new();
    for relation in relations {
        let row = session.client().query_opt(SOURCE, &[relation]).await.map_err(|e| session.error(e))?;
        let row = row.ok_or_else(|| NoSample::Table(relation.clone()))?;
        let name = Name { schema: Some(row.get(0)), name: row.get(1) };
        if sources.iter().any(|other| other.name.name == name.name) {
            return Err(NoSample::Table(format!("two are called {}", name.name)));
        }
        sources.push(Source {
            relation: relation.clone(),
            name,
            columns: row.get(2),
            rows: row.get::<_, f32>(3).into(),
            pages: row.get(4),
        });
    }
    Ok(sources)
}

impl Source {
    /// The statement that makes the empty copy. Triggers and foreign keys are not copied; defaults are left out, since they
    /// would advance the live table's sequences.
    pub(super) fn create(&self, schema: &str) -> String {
        format!(
            "CREATE TABLE {}.{} (LIKE {} INCLUDING ALL EXCLUDING DEFAULTS EXCLUDING IDENTITY EXCLUDING COMMENTS \
             EXCLUDING STATISTICS)",
            quoted(schema),
            quoted(&self.name.name),
            self.name.quoted()
        )
    }

    pub(super) fn fill(&self, schema: &str, rows: u32) -> String {
        let sampled = if self.pages > FEW_PAGES && self.rows > 0.0 {
            // Rows lie unevenly; twice as many are met, and the rest is left.
            let percent =
                (f64::from(rows) * 200.0 / self.rows).max(1_000.0 / f64::from(self.pages)).min(100.0);
            format!(" TABLESAMPLE SYSTEM ({percent:.6})")
        } else {
            String::new()
        };
        format!(
            "INSERT INTO {}.{} ({columns}) SELECT {columns} FROM ONLY {}{sampled} LIMIT {rows}",
            quoted(schema),
            quoted(&self.name.name),
            self.name.quoted(),
            columns = self.columns,
        )
    }
}

const ALLOWED: &str = "
SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') AND NOT pg_catalog.pg_is_in_recovery()
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D')";

const SOURCE: &str = "
SELECT n.nspname::text, c.relname::text,
    (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
    c.reltuples, c.relpages
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = pg_catalog.to_regclass($1)::oid AND c.relkind = 'r' AND c.relpersistence <> 't' AND NOT c.relrowsecurity
    AND NOT c.relhasrules AND NOT c.relispartition AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid)
    AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                AND a.attgenerated = '')";
