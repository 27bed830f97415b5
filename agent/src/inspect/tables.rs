//! The tables that the migrations are about: whether they are there, how large they are, and how many rows they have.

use std::collections::BTreeSet;

use stopover_model::migration::Migration;
use stopover_model::report::{ErrorClass, StepError, TableInspection};
use stopover_model::sql::{CreatedObject, Name, created_objects};

use super::unsigned;
use crate::postgres::{QueryError, Session, step_error};

/// Counting reads the whole table; from this size on the statistics' estimate has to do.
const COUNT_UP_TO: u64 = 2 * 1024 * 1024 * 1024;
/// And so it has where counting takes longer than this.
const COUNT_FOR: &str = "5s";

/// The tables that the manifests name: as they are written there, and as SQL reads them.
pub(super) fn named(migrations: &[Migration]) -> Result<Vec<(String, Name)>, StepError> {
    let mut named: Vec<(String, Name)> = Vec::new();
    for migration in migrations {
        let Some(text) = &migration.manifest.table else { continue };
        if named.iter().any(|(known, _)| known == text) {
            continue;
        }
        let name = text.parse().map_err(|error| {
            let message = format!("{}/migration.toml: `table`: {error}", migration.id);
            StepError::new(ErrorClass::Setup, message)
        })?;
        named.push((text.clone(), name));
    }
    Ok(named)
}

/// The oids of the tables that the migrations name or change, those that are there.
pub(super) async fn touched(
    session: &Session,
    named: &[(String, Name)],
    migrations: &[Migration],
) -> Result<Vec<u32>, StepError> {
    let mut wanted: BTreeSet<String> = named.iter().map(|(_, name)| name.quoted()).collect();
    for object in migrations.iter().flat_map(created_by) {
        if let CreatedObject::Column { table, .. } | CreatedObject::Index { table, .. } = object {
            wanted.insert(table.quoted());
        }
    }
    let wanted: Vec<String> = wanted.into_iter().collect();
    let sql = "SELECT DISTINCT r::oid FROM (SELECT pg_catalog.to_regclass(n) AS r FROM pg_catalog.unnest($1::text[]) AS n) AS found \
               WHERE r IS NOT NULL";
    let rows = session.client().query(sql, &[&wanted]).await;
    let rows = rows.map_err(|error| step_error("could not look for the tables", error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What any of a migration's scripts for the way up creates.
pub(super) fn created_by(migration: &Migration) -> Vec<CreatedObject> {
    let mut created: Vec<CreatedObject> = Vec::new();
    for script in std::iter::once(&migration.up).chain(&migration.batch) {
        for object in script.statements().iter().flat_map(|s| created_objects(&s.kind())) {
            if !created.contains(&object) {
                created.push(object);
            }
        }
    }
    created
}

pub(super) async fn inspect(
    session: &Session,
    text: &str,
    name: &Name,
    warnings: &mut Vec<String>,
) -> Result<TableInspection, StepError> {
    let name_of_it = name.quoted();
    let mut rows = session.client().query(&sizes(TRUE_SIZES), &[&name_of_it]).await;
    if rows.is_err() {
        // Asking for a file's size waits for whoever alters the table; its size at the last VACUUM has to do then.
        rows = session.client().query(&sizes(KNOWN_SIZES), &[&name_of_it]).await;
    }
    let rows = rows.map_err(|error| step_error(&format!("could not look at the table {text}"), error))?;
    let Some(row) = rows.first() else {
        return Ok(TableInspection {
            table: text.to_owned(),
            exists: false,
            rows: 0,
            rows_counted: true,
            total_bytes: 0,
        });
    };
    let (heap, total, estimate) = (unsigned(row.get(0)), unsigned(row.get(1)), unsigned(row.get(2)));
    let counted = if heap <= COUNT_UP_TO { count(session, text, name, warnings).await? } else { None };
    Ok(TableInspection {
        table: text.to_owned(),
        exists: true,
        rows: counted.unwrap_or(estimate),
        rows_counted: counted.is_some(),
        total_bytes: total,
    })
}

/// None when it takes too long, or is not allowed.
async fn count(
    session: &Session,
    text: &str,
    name: &Name,
    warnings: &mut Vec<String>,
) -> Result<Option<u64>, StepError> {
    let begin = format!(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = '{COUNT_FOR}'; SET LOCAL lock_timeout = '1s'"
    );
    let sql = format!("SELECT pg_catalog.count(*) FROM {}", name.quoted());
    let counted = async {
        session.client().batch_execute(&begin).await?;
        session.client().query_one(&sql, &[]).await
    };
    let counted = counted.await.map_err(|error| session.error(error));
    let ended = session.client().batch_execute("ROLLBACK").await.map_err(|error| session.error(error));
    let doing = format!("could not count the rows of {text}");
    match (counted, ended) {
        (Err(error), _) | (_, Err(error)) if error.is_lost() => Err(error.into_step_error(&doing)),
        (Ok(row), _) => Ok(Some(unsigned(row.get(0)))),
        (Err(error), _) => {
            if !took_too_long(&error) {
                warnings.push(format!("{doing} ({error}): the number shown is an estimate"));
            }
            Ok(None)
        }
    }
}

fn took_too_long(error: &QueryError) -> bool {
    error.sqlstate() == Some("57014") || error.is_lock()
}

const TRUE_SIZES: &str = "coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)::bigint, \
                          coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint";
const KNOWN_SIZES: &str = "coalesce(sum(c.relpages), 0)::bigint * pg_catalog.current_setting('block_size')::bigint, \
                           coalesce(sum(c.relpages), 0)::bigint * pg_catalog.current_setting('block_size')::bigint";

/// The table with its partitions and children.
fn sizes(sizes: &str) -> String {
    format!(
        "WITH RECURSIVE tree (oid) AS ( \
             SELECT pg_catalog.to_regclass($1)::oid WHERE pg_catalog.to_regclass($1) IS NOT NULL \
             UNION \
             SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree t ON i.inhparent = t.oid \
         ) \
         SELECT {sizes}, coalesce(sum(greatest(c.reltuples, 0)) FILTER (WHERE c.relkind <> 'p'), 0)::bigint \
         FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid \
         HAVING pg_catalog.count(*) > 0"
    )
}
