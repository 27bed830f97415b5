//! What a migration would create and is there already, although the ledger does not know the migration.

use stopover_model::migration::Migration;
use stopover_model::report::{ExistingObject, StepError};
use stopover_model::sql::{CreatedObject, Name};

use super::tables::created_by;
use crate::postgres::{Session, step_error};

/// One question for all of them: an old project brings a thousand migrations to an empty database.
pub(super) async fn existing(
    session: &Session,
    migrations: &[&Migration],
) -> Result<Vec<ExistingObject>, StepError> {
    let created = |migration| created_by(migration).into_iter().map(move |object| (migration, object));
    let created: Vec<(&Migration, CreatedObject)> = migrations.iter().copied().flat_map(created).collect();
    if created.is_empty() {
        return Ok(Vec::new());
    }
    let (mut kinds, mut tables, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (_, object) in &created {
        let (kind, table, name) = match object {
            CreatedObject::Table { table } => ("table", table, ""),
            CreatedObject::Column { table, column } => ("column", table, column.as_str()),
            CreatedObject::Index { table, name } => ("index", table, name.as_str()),
        };
        kinds.push(kind);
        tables.push(table.quoted());
        names.push(name);
    }
    let found = session.client().query(EXISTING, &[&kinds, &tables, &names]).await;
    let found = found.map_err(|error| step_error("could not look for what the migrations create", error))?;
    let existing = found.iter().filter_map(|row| {
        let (migration, object) = created.get(usize::try_from(row.get::<_, i64>(0)).ok()?.checked_sub(1)?)?;
        let object = called(object, row.get(1));
        Some(ExistingObject { migration: migration.id.clone(), object })
    });
    Ok(existing.collect())
}

/// How people call the object that is there; `what` is what the query says of it.
fn called(object: &CreatedObject, what: &str) -> String {
    match object {
        CreatedObject::Table { table } => format!("{what} {table}"),
        CreatedObject::Column { table, column } => {
            format!("column {table}.{} ({what})", Name::unqualified(column.as_str()))
        }
        CreatedObject::Index { table, name } => {
            format!("index {} on {table}{what}", Name::unqualified(name.as_str()))
        }
    }
}

/// An index lives in its table's schema.
const EXISTING: &str = "
SELECT place, what FROM (
    SELECT place, CASE kind
        WHEN 'table' THEN (
            SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
                                ELSE 'table' END
            FROM pg_catalog.pg_class WHERE oid = w.relation)
        WHEN 'column' THEN (
            SELECT pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute
            WHERE attrelid = w.relation AND attname = w.name AND attnum > 0 AND NOT attisdropped)
        ELSE (
            SELECT CASE WHEN x.indisvalid IS FALSE THEN ' (invalid)'
                        WHEN x.indisvalid IS NULL THEN ' (something else has the name)' ELSE '' END
            FROM pg_catalog.pg_class t
            JOIN pg_catalog.pg_class i ON i.relnamespace = t.relnamespace
            LEFT JOIN pg_catalog.pg_index x ON x.indexrelid = i.oid
            WHERE t.oid = w.relation AND i.relname = w.name)
        END AS what
    FROM (SELECT place, kind, pg_catalog.to_regclass(path)::oid AS relation, name::name AS name
          FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]), pg_catalog.unnest($3::text[]))
               WITH ORDINALITY AS u (kind, path, name, place)
         ) AS w) AS found
WHERE what IS NOT NULL ORDER BY place";
