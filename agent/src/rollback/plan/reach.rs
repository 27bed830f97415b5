//! What goes with an object that is dropped, and what depends on it so that PostgreSQL refuses: as DROP itself finds it, by
//! the catalog of dependencies.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::postgres::{QueryError, Session};

/// An object by its address in the catalogs.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    pub(super) class: u32,
    pub(super) object: u32,
    /// Of a column its number, else 0.
    pub(super) sub: i32,
    /// As in `pg_class.relkind`; empty for what is no relation.
    kind: String,
    pub(super) along: bool,
    pub(super) in_the_way: bool,
    /// None for what people never see: the type of a table's rows, say.
    pub(super) name: Option<String>,
    /// Of a relation, without its schema; empty where that does not matter.
    pub(super) bare: String,
}

impl Reached {
    pub(super) fn named_by_statement(row: &Row) -> Self {
        Self {
            class: row.get("class"),
            object: row.get("object"),
            sub: row.get("sub"),
            kind: row.get("kind"),
            along: false,
            in_the_way: false,
            name: None,
            bare: String::new(),
        }
    }

    fn read(row: &Row) -> Self {
        let in_the_way: bool = row.get("in_the_way");
        let name: Option<String> = row.get("name");
        let name = name.filter(|_| row.get("shown"));
        Self { along: !in_the_way, in_the_way, name, bare: row.get("bare"), ..Self::named_by_statement(row) }
    }

    /// A table, or a column of one. What a materialized view holds can be had again.
    pub(super) fn bears_rows(&self) -> bool {
        self.kind == "r"
    }
}

/// What DROP takes, behind what it names itself.
pub(super) async fn of(
    session: &Session,
    start: &[Reached],
    cascade: bool,
    gone: &[Reached],
) -> Result<Vec<Reached>, QueryError> {
    let mut reached = start.to_vec();
    reached.extend(dependents(session, start, cascade, gone).await?);
    Ok(reached)
}

/// What stands in the way of another type: views and rules. Indexes and constraints are made anew.
pub(super) async fn of_conversion(
    session: &Session,
    start: &[Reached],
    gone: &[Reached],
) -> Result<Vec<Reached>, QueryError> {
    let mut reached = start.to_vec();
    let all = dependents(session, start, false, gone).await?;
    reached.extend(all.into_iter().filter(|r| r.in_the_way && matches!(r.kind.as_str(), "v" | "m")));
    Ok(reached)
}

/// What TRUNCATE ... CASCADE empties besides: the tables that reference one that is emptied.
pub(super) async fn of_truncation(session: &Session, start: &[Reached]) -> Result<Vec<Reached>, QueryError> {
    let tables: Vec<u32> = start.iter().map(|r| r.object).collect();
    let rows = session.client().query(REFERENCING, &[&tables]).await.map_err(|e| session.error(e))?;
    let mut reached = start.to_vec();
    reached.extend(rows.iter().map(Reached::read));
    Ok(reached)
}

async fn dependents(
    session: &Session,
    start: &[Reached],
    cascade: bool,
    gone: &[Reached],
) -> Result<Vec<Reached>, QueryError> {
    let (classes, objects, subs) = columns(start);
    let (gone_classes, gone_objects, gone_subs) = columns(gone);
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&classes, &objects, &subs, &cascade, &gone_classes, &gone_objects, &gone_subs];
    let rows = session.client().query(DEPENDENTS, &parameters).await.map_err(|e| session.error(e))?;
    Ok(rows.iter().map(Reached::read).collect())
}

fn columns(reached: &[Reached]) -> (Vec<u32>, Vec<u32>, Vec<i32>) {
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for one in reached {
        columns.0.push(one.class);
        columns.1.push(one.object);
        columns.2.push(one.sub);
    }
    columns
}

const DEPENDENTS: &str = include_str!("dependents.sql");

const REFERENCING: &str = "
WITH RECURSIVE emptied (oid) AS (
    SELECT * FROM pg_catalog.unnest($1::oid[])
    UNION
    SELECT k.conrelid FROM emptied e JOIN pg_catalog.pg_constraint k ON k.confrelid = e.oid AND k.contype = 'f'
)
SELECT 'pg_catalog.pg_class'::regclass::oid AS class, c.oid AS object, 0 AS sub, c.relkind::text AS kind,
    false AS in_the_way, true AS shown, '' AS bare, 'all rows of ' || c.oid::regclass::text AS name
FROM emptied e JOIN pg_catalog.pg_class c ON c.oid = e.oid
WHERE e.oid <> ALL ($1::oid[])
ORDER BY c.relname";
