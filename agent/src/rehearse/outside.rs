//! Which migrations are not rehearsed, because a statement of theirs reaches beyond the database.

use std::collections::BTreeSet;

use stopover_model::migration::{Migration, Script};
use stopover_model::plan::Variant;
use stopover_model::sql::{Name, Statement, StatementKind, outside_effect};

use crate::postgres::{QueryError, Session};

/// The tables whose rows lie on other servers.
#[derive(Debug, Default)]
pub(super) struct Foreign(BTreeSet<Name>);

impl Foreign {
    pub(super) async fn of(session: &Session) -> Result<Self, QueryError> {
        let rows = session.query(FOREIGN_TABLES, &[]).await?;
        let name = |row: &tokio_postgres::Row| Name { schema: Some(row.get(0)), name: row.get(1) };
        Ok(Self(rows.iter().map(name).collect()))
    }

    /// Without a schema any that has the name is meant, in doubt.
    fn has(&self, name: &Name) -> bool {
        self.0
            .iter()
            .any(|table| table.name == name.name && (name.schema.is_none() || table.schema == name.schema))
    }

    /// Why the migration is not rehearsed; None: it is.
    pub(super) fn reason(&self, migration: &Migration, variant: Variant) -> Option<String> {
        let up = (super::script::up(migration, variant), variant.file());
        let down = migration.down.as_ref().map(|down| (down, "down.sql"));
        [Some(up), down].into_iter().flatten().find_map(|(script, file)| {
            let (line, why) = self.in_script(script)?;
            Some(format!("line {line} of {} {why}", migration.file_name(file)))
        })
    }

    fn in_script(&self, script: &Script) -> Option<(u32, String)> {
        script.statements().into_iter().find_map(|statement| {
            let why = outside_effect(&statement).or_else(|| self.written_by(&statement))?;
            Some((statement.line, why))
        })
    }

    fn written_by(&self, statement: &Statement<'_>) -> Option<String> {
        let tables = match statement.kind() {
            StatementKind::Insert { table }
            | StatementKind::Update { table, .. }
            | StatementKind::Delete { table, .. }
            | StatementKind::Copy { table: Some(table), .. } => vec![table],
            StatementKind::Truncate { tables } => tables,
            _ => return None,
        };
        let foreign = tables.iter().find(|table| self.has(table))?;
        Some(format!("writes the foreign table {foreign}, whose rows lie on another server"))
    }
}

const FOREIGN_TABLES: &str = "\
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f'";
