//! The statements that bring back what is dropped, from the catalog.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::relation::Relation;
use crate::postgres::{QueryError, Session};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Up to 2 before the values; from 5 on the object is whole without it.
    pub(super) part: i32,
    pub(super) sql: String,
}

/// Of a table with what belongs to it: its partitions, where they are among `gone` too.
pub(super) async fn of_table(
    session: &Session,
    relation: &Relation,
    gone: &BTreeSet<u32>,
) -> Result<Vec<Part>, QueryError> {
    let mut oids = vec![relation.oid];
    if relation.partitioned {
        let sql = "SELECT relid::oid FROM pg_catalog.pg_partition_tree($1) ORDER BY level, relid";
        let tree = session.query(sql, &[(&relation.oid, Type::OID)]).await?;
        let tree = tree.iter().map(|row| row.get(0));
        oids.extend(tree.filter(|oid| *oid != relation.oid && gone.contains(oid)));
    }
    let rows = session.query(include_str!("definition_of_tables.sql"), &[(&oids, Type::OID_ARRAY)]).await?;
    Ok(rows.iter().map(part).collect())
}

/// Of columns of a table.
pub(super) async fn of_columns(
    session: &Session,
    relation: &Relation,
    columns: &BTreeSet<i16>,
) -> Result<Vec<Part>, QueryError> {
    let columns: Vec<i16> = columns.iter().copied().collect();
    let parameters: crate::postgres::Parameters<'_> =
        &[(&relation.oid, Type::OID), (&columns, Type::INT2_ARRAY)];
    let rows = session.query(include_str!("definition_of_columns.sql"), parameters).await?;
    Ok(rows.iter().map(part).collect())
}

fn part(row: &Row) -> Part {
    Part { part: row.get(0), sql: row.get::<_, Option<String>>(1).unwrap_or_default() }
}
