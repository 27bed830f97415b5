//! The manifest: reading what is kept.

use std::collections::BTreeMap;

use jiff::Timestamp;
use stopover_model::id::{DeploymentId, MigrationId, SavedId};
use stopover_model::report::StepError;
use stopover_model::saved::{Saved, SavedColumn, SavedPurged, SavedRestored, SavedWhat, saved_name};
use stopover_model::sql::Name;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, Type};

use super::definition::Part;
use super::relation::Column;
use super::since::Since;
use super::{exists, shown_table};
use crate::postgres::{Purpose, QueryError, Session, SessionName};
use crate::step::StepContext;

/// A row of the manifest.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(super) saved: Saved,
    pub(super) table: Name,
    pub(super) columns: Vec<Column>,
    pub(super) key: Vec<Column>,
    pub(super) definition: Vec<Part>,
    /// The block of the holder up to which the values are back.
    pub(super) through: Option<i64>,
    /// When the migration that puts them back had made their columns.
    pub(super) since: Option<Since>,
}

/// What is kept in the database, the newest first; with an id that alone, with its definition. What was purged is told
/// where `purged` asks for it.
pub async fn list(
    context: &StepContext,
    id: Option<&SavedId>,
    purged: bool,
) -> Result<Vec<Saved>, StepError> {
    let name = SessionName { step: "saved".to_owned(), ..SessionName::of(context) };
    let session = context.database.connect(&Purpose::reading(&name)).await?;
    let listed = entries(&session, id, purged).await;
    session.close().await;
    let listed = listed.map_err(|e| e.into_step_error("read what is saved"))?;
    Ok(listed.into_iter().map(|entry| with_definition(entry, id.is_some())).collect())
}

/// What the last rollback of each of these migrations has dropped, with values that nobody has put back.
pub(crate) async fn of_rollbacks(session: &Session, migrations: &[&str]) -> Result<Vec<Saved>, QueryError> {
    if migrations.is_empty() {
        return Ok(Vec::new());
    }
    let found = dropped_by_rollbacks(session, migrations).await?;
    Ok(found.into_iter().map(|entry| entry.saved).collect())
}

/// The same, with what it takes to put them back; what is back in part is among them. Of each migration it is the last
/// rollback's: what an earlier one has dropped would take the place of newer values.
pub(crate) async fn dropped_by_rollbacks(
    session: &Session,
    migrations: &[&str],
) -> Result<Vec<Entry>, QueryError> {
    let mut found = entries(session, None, false).await?;
    found.retain(|Entry { saved, .. }| saved.by_rollback && migrations.contains(&saved.migration.as_str()));
    let mut newest: BTreeMap<MigrationId, DeploymentId> = BTreeMap::new();
    found.retain(|Entry { saved, .. }| {
        let deployment = newest.entry(saved.migration.clone()).or_insert_with(|| saved.deployment.clone());
        *deployment == saved.deployment
    });
    found.retain(|Entry { saved, through, .. }| {
        saved.holder.is_some() && (saved.restored.is_none() || through.is_some())
    });
    Ok(found)
}

fn with_definition(entry: Entry, wanted: bool) -> Saved {
    let definition =
        if wanted { entry.definition.into_iter().map(|part| part.sql).collect() } else { Vec::new() };
    Saved { definition, ..entry.saved }
}

impl Entry {
    /// The columns, as the schema's fingerprint calls them.
    pub(crate) async fn objects(&self, session: &Session) -> Result<Vec<String>, QueryError> {
        let schema = self.table.schema.as_deref().unwrap_or("public");
        let columns: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        let sql = "SELECT 'column ' || CASE WHEN $1 = 'public' THEN '' ELSE pg_catalog.quote_ident($1) || '.' END \
                       || pg_catalog.quote_ident($2) || '.' || pg_catalog.quote_ident(c) FROM pg_catalog.unnest($3) c";
        let parameters: crate::postgres::Parameters<'_> =
            &[(&schema, Type::TEXT), (&self.table.name, Type::TEXT), (&columns, Type::TEXT_ARRAY)];
        Ok(session.query(sql, parameters).await?.iter().map(|row| row.get(0)).collect())
    }
}

pub(super) async fn entries(
    session: &Session,
    id: Option<&SavedId>,
    purged: bool,
) -> Result<Vec<Entry>, QueryError> {
    if !exists(session).await? {
        return Ok(Vec::new());
    }
    let sql = "SELECT id, saved_at, deployment, migration, direction, what, table_schema, table_name, columns, key, rows, \
                   bytes, holder, restored_at, restored_by, restored_rows, purged_at, purged_by, definition, restored_through, \
                   pg_catalog.to_jsonb(m) ->> 'restoring_since' \
               FROM stopover_saved.manifest m WHERE ($1::text IS NULL OR id = $1) AND ($2 OR purged_at IS NULL) \
               ORDER BY saved_at DESC, id LIMIT 1000";
    let id = id.map(SavedId::as_str);
    let rows = session.query(sql, &[(&id, Type::TEXT), (&(purged || id.is_some()), Type::BOOL)]).await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry, QueryError> {
    let strange = |what: &str| QueryError::Answer(format!("{what} in stopover_saved.manifest"));
    let number = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or_default();
    let time = |at: usize| -> Option<Timestamp> {
        row.get::<_, Option<std::time::SystemTime>>(at).and_then(|time| time.try_into().ok())
    };
    let Json(columns): Json<Vec<Column>> = row.get(8);
    let Json(key): Json<Vec<Column>> = row.get(9);
    let Json(definition): Json<Vec<Part>> = row.get(18);
    let table = Name { schema: Some(row.get(6)), name: row.get(7) };
    let restored = time(13).map(|at| SavedRestored {
        at,
        by: row.get::<_, Option<String>>(14).unwrap_or_default(),
        rows: row.get::<_, Option<i64>>(15).and_then(|rows| u64::try_from(rows).ok()).unwrap_or_default(),
    });
    let purged =
        time(16).map(|at| SavedPurged { at, by: row.get::<_, Option<String>>(17).unwrap_or_default() });
    let column =
        |column: &Column| SavedColumn { name: column.name.clone(), type_name: column.type_name.clone() };
    let saved = Saved {
        id: row.get::<_, &str>(0).parse().map_err(|_| strange("an id"))?,
        at: time(1).ok_or_else(|| strange("a time"))?,
        deployment: row.get::<_, &str>(2).parse().map_err(|_| strange("a deployment"))?,
        migration: row.get::<_, &str>(3).parse().map_err(|_| strange("a migration"))?,
        by_rollback: row.get::<_, &str>(4) == "down",
        what: SavedWhat::named(row.get(5)).ok_or_else(|| strange("a kind"))?,
        table: shown_table(&table),
        columns: columns.iter().map(column).collect(),
        key: key.iter().map(|column| column.name.clone()).collect(),
        rows: number(10),
        bytes: number(11),
        holder: row.get(12),
        restored,
        purged,
        definition: Vec::new(),
    };
    Ok(Entry {
        saved,
        table,
        columns,
        key,
        definition,
        through: row.get(19),
        since: Since::read(row.get(20)),
    })
}

/// For people: `users.note`, `orders`.
pub(super) fn shown<'a>(what: SavedWhat, table: &str, columns: impl Iterator<Item = &'a str>) -> String {
    saved_name(what, table, columns)
}
