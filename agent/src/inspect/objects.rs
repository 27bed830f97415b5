//! What a migration would create and is there already, although the ledger does not know the migration.

use stopover_model::migration::Migration;
use stopover_model::report::{ExistingObject, StepError};
use stopover_model::sql::{CreatedObject, Name};

use super::tables::created_by;
use crate::postgres::{Session, step_error};

pub(super) async fn existing(
    session: &Session,
    migrations: &[&Migration],
) -> Result<Vec<ExistingObject>, StepError> {
    let mut existing = Vec::new();
    for migration in migrations {
        for object in created_by(migration) {
            if let Some(object) = find(session, &object).await? {
                existing.push(ExistingObject { migration: migration.id.clone(), object });
            }
        }
    }
    Ok(existing)
}

/// How the object is called, when it is there.
async fn find(session: &Session, object: &CreatedObject) -> Result<Option<String>, StepError> {
    match object {
        CreatedObject::Table { table } => {
            let found = text(session, TABLE, &[&table.quoted()]).await?;
            Ok(found.map(|kind| format!("{kind} {table}")))
        }
        CreatedObject::Column { table, column } => {
            let found = text(session, COLUMN, &[&table.quoted(), column]).await?;
            Ok(found.map(|kind| format!("column {table}.{} ({kind})", Name::unqualified(column.as_str()))))
        }
        CreatedObject::Index { table, name } => {
            let found = text(session, INDEX, &[&table.quoted(), name]).await?;
            let index = Name::unqualified(name.as_str());
            Ok(found.map(|state| format!("index {index} on {table}{state}")))
        }
    }
}

async fn text(
    session: &Session,
    sql: &str,
    names: &[&(dyn tokio_postgres::types::ToSql + Sync)],
) -> Result<Option<String>, StepError> {
    let row = session.client().query_opt(sql, names).await;
    let row = row.map_err(|error| step_error("could not look for what the migrations create", error))?;
    Ok(row.map(|row| row.get(0)))
}

const TABLE: &str = "
SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END
FROM pg_catalog.pg_class WHERE oid = pg_catalog.to_regclass($1)::oid";

const COLUMN: &str = "
SELECT pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute
WHERE attrelid = pg_catalog.to_regclass($1)::oid AND attname = $2 AND attnum > 0 AND NOT attisdropped";

/// An index lives in its table's schema.
const INDEX: &str = "
SELECT CASE WHEN x.indisvalid IS FALSE THEN ' (invalid)' WHEN x.indisvalid IS NULL THEN ' (something else has the name)' ELSE '' END
FROM pg_catalog.pg_class t
JOIN pg_catalog.pg_class i ON i.relnamespace = t.relnamespace
LEFT JOIN pg_catalog.pg_index x ON x.indexrelid = i.oid
WHERE t.oid = pg_catalog.to_regclass($1)::oid AND i.relname = $2";
