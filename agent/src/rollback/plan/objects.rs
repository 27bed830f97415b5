//! From what a statement names to the catalog's own addresses.

use stopover_model::sql::DropTarget;
use tokio_postgres::types::ToSql;

use super::reach::Reached;
use crate::postgres::{QueryError, Session};

/// The objects that are meant; of a column those of the tables that inherit it too. None where there is nothing of the
/// name.
pub(super) async fn find(session: &Session, target: &DropTarget) -> Result<Vec<Reached>, QueryError> {
    match target {
        DropTarget::Table { table } => rows(session, RELATION, &[&table.quoted()]).await,
        DropTarget::View { view } | DropTarget::MaterializedView { view } => {
            rows(session, RELATION, &[&view.quoted()]).await
        }
        DropTarget::Index { index, .. } => rows(session, RELATION, &[&index.quoted()]).await,
        DropTarget::Column { table, column, only } => {
            rows(session, COLUMN, &[&table.quoted(), column, only]).await
        }
        DropTarget::Converted { table, column } => {
            rows(session, COLUMN, &[&table.quoted(), column, &false]).await
        }
        DropTarget::Emptied { table, only, .. } => rows(session, TREE, &[&table.quoted(), only]).await,
        DropTarget::Constraint { table, name } => rows(session, CONSTRAINT, &[&table.quoted(), name]).await,
        DropTarget::Type { name } => rows(session, TYPE, &[&name.quoted()]).await,
        DropTarget::Attribute { name, attribute } => {
            rows(session, ATTRIBUTE, &[&name.quoted(), attribute]).await
        }
        DropTarget::Schema { schema } => rows(session, SCHEMA, &[schema]).await,
        DropTarget::Extension { extension } => rows(session, EXTENSION, &[extension]).await,
        DropTarget::Other { object, name } => match object.as_str() {
            "sequence" | "foreign table" => rows(session, RELATION, &[&name.quoted()]).await,
            // Nothing where the name fits several.
            "function" | "procedure" | "routine" | "aggregate" => {
                rows(session, FUNCTION, &[&name.quoted()]).await
            }
            _ => Ok(Vec::new()),
        },
        DropTarget::OwnedBy { .. } | DropTarget::Hidden { .. } => Ok(Vec::new()),
    }
}

async fn rows(
    session: &Session,
    sql: &str,
    names: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Reached>, QueryError> {
    let rows = session.client().query(sql, names).await.map_err(|e| session.error(e))?;
    Ok(rows.iter().map(Reached::named_by_statement).collect())
}

const RELATION: &str = "
SELECT 'pg_catalog.pg_class'::regclass::oid AS class, c.oid AS object, 0 AS sub, c.relkind::text AS kind
FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)";

const TREE: &str = "
WITH RECURSIVE tree (oid) AS (
    SELECT pg_catalog.to_regclass($1)::oid WHERE pg_catalog.to_regclass($1) IS NOT NULL
    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree t ON i.inhparent = t.oid WHERE NOT $2
)
SELECT 'pg_catalog.pg_class'::regclass::oid AS class, c.oid AS object, 0 AS sub, c.relkind::text AS kind
FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid";

const COLUMN: &str = "
WITH RECURSIVE tree (oid) AS (
    SELECT pg_catalog.to_regclass($1)::oid WHERE pg_catalog.to_regclass($1) IS NOT NULL
    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree t ON i.inhparent = t.oid WHERE NOT $3
)
SELECT 'pg_catalog.pg_class'::regclass::oid AS class, c.oid AS object, a.attnum::integer AS sub, c.relkind::text AS kind
FROM tree t
JOIN pg_catalog.pg_class c ON c.oid = t.oid
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped";

const CONSTRAINT: &str = "
SELECT 'pg_catalog.pg_constraint'::regclass::oid AS class, k.oid AS object, 0 AS sub, '' AS kind
FROM pg_catalog.pg_constraint k WHERE k.conrelid = pg_catalog.to_regclass($1)::oid AND k.conname = $2";

const TYPE: &str = "
SELECT 'pg_catalog.pg_type'::regclass::oid AS class, t.oid AS object, 0 AS sub, '' AS kind
FROM pg_catalog.pg_type t WHERE t.oid = pg_catalog.to_regtype($1)";

const ATTRIBUTE: &str = "
SELECT 'pg_catalog.pg_class'::regclass::oid AS class, a.attrelid AS object, a.attnum::integer AS sub, 'c' AS kind
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid AND a.attname = $2 AND NOT a.attisdropped
WHERE t.oid = pg_catalog.to_regtype($1)";

const SCHEMA: &str = "
SELECT 'pg_catalog.pg_namespace'::regclass::oid AS class, n.oid AS object, 0 AS sub, '' AS kind
FROM pg_catalog.pg_namespace n WHERE n.nspname = $1";

const EXTENSION: &str = "
SELECT 'pg_catalog.pg_extension'::regclass::oid AS class, e.oid AS object, 0 AS sub, '' AS kind
FROM pg_catalog.pg_extension e WHERE e.extname = $1";

const FUNCTION: &str = "
SELECT 'pg_catalog.pg_proc'::regclass::oid AS class, p.oid AS object, 0 AS sub, '' AS kind
FROM pg_catalog.pg_proc p WHERE p.oid = pg_catalog.to_regproc($1)";
