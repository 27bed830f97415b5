//! Which tables of a database are histories, and whose. A name alone says little: three tools say `schema_migrations`.

use std::collections::BTreeSet;

use stopover_model::history::Tool;
use stopover_model::report::StepError;

use crate::postgres::Session;

/// A table that a tool keeps its history in.
pub(super) struct Found {
    pub(super) tool: Tool,
    /// With its schema, quoted where SQL asks for it.
    pub(super) table: String,
}

/// What tells the tools apart.
struct Candidate {
    name: String,
    columns: BTreeSet<String>,
    primary_key: bool,
    /// Rails keeps a second table beside its history.
    rails_beside: bool,
}

/// Every table has one of these columns that is a history, but for those that are known by their name.
const CANDIDATES: &str = "\
    SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), c.relname::text, \
        array_agg(a.attname::text), \
        EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary), \
        EXISTS (SELECT FROM pg_catalog.pg_class r \
                WHERE r.relnamespace = c.relnamespace AND r.relname = 'ar_internal_metadata'), \
        coalesce(bool_or(a.attname = 'version' AND t.typcategory = 'S'), false) \
    FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'stopover') \
        AND (c.relname = 'schema_migrations' OR EXISTS ( \
            SELECT FROM pg_catalog.pg_attribute m WHERE m.attrelid = c.oid AND NOT m.attisdropped AND m.attname IN \
                ('dirty', 'run_on', 'installed_rank', 'installed_on', 'version_id', 'exectype', 'script_hash'))) \
    GROUP BY c.oid, n.nspname, c.relname, c.relnamespace ORDER BY n.nspname, c.relname";

pub(super) async fn tables(session: &Session) -> Result<Vec<Found>, StepError> {
    let rows = session.client().query_typed(CANDIDATES, &[]).await;
    let rows = rows.map_err(|e| session.error(e).into_step_error("look for the tables of other tools"))?;
    let mut found = Vec::new();
    for row in &rows {
        let columns: Vec<String> = row.get(2);
        let candidate = Candidate {
            name: row.get(1),
            columns: columns.into_iter().collect(),
            primary_key: row.get(3),
            rails_beside: row.get(4),
        };
        let text_version: bool = row.get(5);
        if let Some(tool) = candidate.tool(text_version) {
            found.push(Found { tool, table: row.get(0) });
        }
    }
    Ok(found)
}

impl Candidate {
    fn tool(&self, text_version: bool) -> Option<Tool> {
        let has = |columns: &[&str]| columns.iter().all(|column| self.columns.contains(*column));
        let has_only = |columns: &[&str]| has(columns) && self.columns.len() == columns.len();
        let known: [(Tool, bool); 7] = [
            (
                Tool::Flyway,
                has(&[
                    "installed_rank",
                    "version",
                    "description",
                    "type",
                    "checksum",
                    "installed_on",
                    "success",
                ]),
            ),
            (
                Tool::Sqlx,
                has_only(&[
                    "version",
                    "description",
                    "installed_on",
                    "success",
                    "checksum",
                    "execution_time",
                ]),
            ),
            (
                Tool::Liquibase,
                has(&["id", "author", "filename", "dateexecuted", "orderexecuted", "exectype"]),
            ),
            (Tool::Goose, has_only(&["id", "version_id", "is_applied", "tstamp"])),
            (Tool::Sqitch, has(&["change_id", "script_hash", "change", "project", "committed_at"])),
            (Tool::GolangMigrate, has_only(&["version", "dirty"])),
            (Tool::Diesel, has_only(&["version", "run_on"])),
        ];
        let by_columns = known.into_iter().find(|(_, fits)| *fits).map(|(tool, _)| tool);
        let bare = self.name == "schema_migrations" && has_only(&["version"]) && text_version;
        by_columns.or_else(|| {
            // Both make a primary key of text. Rails has a second table beside it; before that it made no key.
            let rails = self.rails_beside || !self.primary_key;
            bare.then_some(if rails { Tool::Rails } else { Tool::Dbmate })
        })
    }
}
