//! The table that a backfill walks along, and the key of it: what only the catalogs know.

use stopover_model::backfill::{Batchable, Directive, KeyColumn};
use stopover_model::report::{ErrorClass, StepError};
use tokio_postgres::types::Type;

use crate::postgres::{QueryError, Session};

/// A table with a key to walk along.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    pub(super) oid: u32,
    pub(super) schema: String,
    pub(super) table: String,
    /// Its partitions and children are left out.
    pub(super) only: bool,
    pub(super) key: Vec<KeyColumn>,
    /// As the statistics know it.
    pub(super) rows: u64,
}

/// Why there is none.
pub(super) enum NoWalk {
    Query(QueryError),
    Refused(Box<StepError>),
}

impl From<QueryError> for NoWalk {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

/// Finds the table as the script's session sees it, and the key that the directive names, or the primary key.
pub(super) async fn walk(
    session: &Session,
    batchable: &Batchable<'_>,
    directive: &Directive,
) -> Result<Walk, NoWalk> {
    let table = batchable.table.to_string();
    let row = session.client().query_typed_opt(TABLE, &[(&table, Type::TEXT)]).await;
    let row = row.map_err(|e| session.error(e))?;
    let Some(row) = row else {
        return Err(refused(
            format!("the table {table} is not in the database"),
            "create it in an earlier statement, or correct its name",
        ));
    };
    let (oid, kind): (u32, i8) = (row.get("oid"), row.get("relkind"));
    if !matches!(u8::try_from(kind), Ok(b'r' | b'p')) {
        let hint = "name the table that holds the rows";
        return Err(refused(
            format!("{table} is no table with rows of its own, and has no key to walk along"),
            hint,
        ));
    }
    let key = key(session, oid, &table, directive).await?;
    batchable
        .check_key(&key.iter().map(|column| column.name.clone()).collect::<Vec<_>>())
        .map_err(|refusal| refused(refusal.reason, refusal.hint))?;
    Ok(Walk {
        oid,
        schema: row.get("nspname"),
        table: row.get("relname"),
        only: batchable.only,
        key,
        rows: u64::try_from(row.get::<_, i64>("rows")).unwrap_or_default(),
    })
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> NoWalk {
    let error = StepError::new(ErrorClass::Setup, format!("the backfill can't run: {}", message.into()));
    NoWalk::Refused(Box::new(error.with_hint(hint.into())))
}

async fn key(
    session: &Session,
    oid: u32,
    table: &str,
    directive: &Directive,
) -> Result<Vec<KeyColumn>, NoWalk> {
    let rows =
        session.client().query_typed(KEYS, &[(&oid, Type::OID)]).await.map_err(|e| session.error(e))?;
    let keys: Vec<(bool, Vec<KeyColumn>)> = rows
        .iter()
        .map(|row| {
            let (names, types): (Vec<String>, Vec<String>) = (row.get("names"), row.get("types"));
            let columns = names.into_iter().zip(types);
            (row.get("is_primary"), columns.map(|(name, type_name)| KeyColumn { name, type_name }).collect())
        })
        .collect();
    let wanted = &directive.key;
    let found = keys.iter().find(|(primary, columns)| {
        if wanted.is_empty() { *primary } else { columns.iter().map(|column| &column.name).eq(wanted) }
    });
    if let Some((_, columns)) = found {
        return Ok(columns.clone());
    }
    let known: Vec<String> = keys
        .iter()
        .map(|(_, columns)| {
            format!("key={}", columns.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(","))
        })
        .collect();
    let hint = if known.is_empty() {
        "it needs a unique index over columns that are NOT NULL, without a condition; create one concurrently first".to_owned()
    } else {
        format!("write one that it has into the directive: {}", known.join(", or "))
    };
    Err(if wanted.is_empty() {
        refused(format!("{table} has no primary key to walk along"), hint)
    } else {
        refused(
            format!("{table} has no unique index over exactly {}, all of them NOT NULL", wanted.join(", ")),
            hint,
        )
    })
}

const TABLE: &str = "\
SELECT c.oid, c.relkind, n.nspname::text, c.relname::text, \
    greatest((SELECT sum(leaf.reltuples) FROM pg_catalog.pg_partition_tree(c.oid) t \
        JOIN pg_catalog.pg_class leaf ON leaf.oid = t.relid WHERE t.isleaf), c.reltuples, 0)::bigint AS rows \
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
WHERE c.oid = pg_catalog.to_regclass($1)";

/// The unique indexes that give each row its own place: valid, of plain columns without nulls, without a condition.
const KEYS: &str = "\
SELECT i.indisprimary AS is_primary, \
    array_agg(a.attname::text ORDER BY k.place) AS names, \
    array_agg(pg_catalog.format_type(a.atttypid, a.atttypmod) ORDER BY k.place) AS types \
FROM pg_catalog.pg_index i \
CROSS JOIN LATERAL pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place) \
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am am ON am.oid = c.relam \
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND am.amname = 'btree' \
    AND k.place <= i.indnkeyatts AND NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::int2[]) n WHERE n = 0) \
GROUP BY i.indexrelid, i.indisprimary \
HAVING bool_and(a.attnotnull) ORDER BY i.indisprimary DESC, i.indexrelid";
