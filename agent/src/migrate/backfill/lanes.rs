//! Whether the rows of a range are done in lanes, so that those of the later ones find room on the pages of the first.
//!
//! On a full page a new version of a row has no room: it goes elsewhere, with an entry in every index. Once the first lane
//! has committed, its old versions are nobody's, and the next look at the page makes room of them. An UPDATE that finds
//! room and touches no index writes no entry (PostgreSQL documentation, 73.7 "Heap-Only Tuples"). While another worker's
//! batch runs, that began before the first lane's end, its snapshot still sees those versions, and nothing makes room.

use stopover_model::backfill::{Action, Batchable, KeyColumn, Lane};
use tokio_postgres::types::Type;

use super::key::Walk;
use crate::postgres::{Parameters, QueryError, Session};

/// More would write less still, and read each page more often.
const LANES: u8 = 2;
/// Where the rows lie in the order of the key less than this, the rows of a range share no pages.
const LEAST_CORRELATION: f32 = 0.5;

/// The lanes of each range; None alone where they would be of no use.
pub(super) async fn lanes(
    session: &Session,
    walk: &Walk,
    batchable: &Batchable<'_>,
    workers: u64,
) -> Result<Vec<Option<Lane>>, QueryError> {
    let useful = batchable.action == Action::Update
        && workers == 1
        && Lane::can_tell(&walk.key)
        && has_its_rows_in_order(session, walk).await?
        && !touches_an_index(session, walk, batchable).await?;
    Ok(if useful { (0..LANES).map(|number| Some(Lane { number, of: LANES })).collect() } else { vec![None] })
}

/// Said where there are lanes.
pub(super) fn note(batchable: &Batchable<'_>) -> String {
    format!(
        "changes every second row of {} first: the others find room on the same pages then, and need no new entries in indexes",
        batchable.table
    )
}

/// By the statistics; where there are none, numbers are taken for given in order, and other keys are not.
async fn has_its_rows_in_order(session: &Session, walk: &Walk) -> Result<bool, QueryError> {
    let Some(KeyColumn { name, type_name }) = walk.key.first() else { return Ok(false) };
    let sql = "SELECT max(abs(correlation)) FROM pg_catalog.pg_stats \
               WHERE schemaname = $1 AND tablename = $2 AND attname = $3";
    let parameters: Parameters<'_> =
        &[(&walk.schema, Type::TEXT), (&walk.table, Type::TEXT), (name, Type::TEXT)];
    let row = session.client().query_typed_one(sql, parameters).await.map_err(|e| session.error(e))?;
    let numbers = matches!(type_name.as_str(), "smallint" | "integer" | "bigint");
    Ok(row.get::<_, Option<f32>>(0).map_or(numbers, |known| known >= LEAST_CORRELATION))
}

/// Whether an index of the table or of one of its partitions looks at a column that the statement sets.
async fn touches_an_index(
    session: &Session,
    walk: &Walk,
    batchable: &Batchable<'_>,
) -> Result<bool, QueryError> {
    let parameters: Parameters<'_> = &[(&walk.oid, Type::OID), (&batchable.set, Type::TEXT_ARRAY)];
    let row = session.client().query_typed_one(INDEXED, parameters).await;
    Ok(row.map_err(|e| session.error(e))?.get(0))
}

/// The columns of keys, of INCLUDE, of expressions and of conditions.
const INDEXED: &str = "\
WITH RECURSIVE part (oid) AS ( \
    SELECT $1 UNION ALL \
    SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN part ON i.inhparent = part.oid) \
SELECT EXISTS (SELECT FROM part \
    JOIN pg_catalog.pg_index i ON i.indrelid = part.oid \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = part.oid AND a.attname::text = ANY ($2) \
    WHERE a.attnum = ANY (i.indkey::int2[]) OR EXISTS (SELECT FROM pg_catalog.pg_depend d \
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = i.indexrelid \
            AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = part.oid \
            AND d.refobjsubid = a.attnum))";
