//! The values of a large table are copied ahead of the drop: batch by batch while everybody goes on, each committed with the
//! place that it has come to. Under the drop's lock only those rows are copied again that were written since.
//!
//! A row carries the number of the transaction that wrote it, and so the rows written since the copying began are known
//! without a trigger: none of theirs is older than the oldest transaction of that moment. Numbers come round after four
//! billion; a row for which that matters counts as written since, and a copy that is too old for it is begun anew. What was
//! deleted shows in the counts, which must be equal at the end.

use stopover_model::id::SavedId;
use stopover_model::saved::SavedWhat;
use stopover_model::sql::quoted;
use tokio_postgres::types::{Json, Type};

use super::keep::{Target, selected};
use super::relation::Column;
use super::typed::{execute, number};
use super::{SCHEMA, ensure};
use crate::postgres::{QueryError, Session};

/// From here on a table is worth it: copying less in one go takes a second.
const LARGE: u64 = 128 * 1024 * 1024;
/// So many rows are found again by their places; more by another look at all.
const MOST_PLACES: u64 = 50_000;
/// Numbers that are further apart than this can't be told in their order for sure.
const OLDEST: i64 = 1 << 30;

/// A copy that is there, as far as it has come.
#[derive(Debug, Clone)]
pub(crate) struct Ahead {
    id: SavedId,
    holder: String,
    /// No row that was written since has an older transaction.
    since: i64,
    /// The block of the table from which on it goes on.
    through: i64,
    /// Where it ends: what comes behind was written since.
    blocks: i64,
}

/// What the last words under the lock were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CaughtUp {
    /// All that is kept.
    pub(crate) rows: u64,
    /// Of them those that were written since the copying began.
    pub(crate) again: u64,
}

impl Target {
    /// Whether its values are copied ahead of the drop.
    pub(crate) fn is_large(&self, at_least: Option<u64>) -> bool {
        self.relation.bytes >= at_least.unwrap_or(LARGE)
            && !self.relation.partitioned
            && !self.key.is_empty()
            && !self.held.is_empty()
            // Of a table its generated columns are not copied.
            && (self.is_columns() || self.key.iter().all(|key| self.held.contains(key)))
    }

    fn is_columns(&self) -> bool {
        self.what == SavedWhat::Columns
    }

    /// The columns of the copy, those of the key first.
    fn copied(&self) -> Vec<&Column> {
        let key = self.key.iter().filter(|_| self.is_columns());
        key.chain(&self.held).collect()
    }

    fn keys(&self) -> String {
        self.key.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
    }

    /// The rows of `t` that have something to be kept.
    fn with_values(&self) -> String {
        if !self.is_columns() {
            return "true".to_owned();
        }
        let values: Vec<String> =
            self.held.iter().map(|column| format!("t.{}", quoted(&column.name))).collect();
        format!("pg_catalog.num_nonnulls({}) > 0", values.join(", "))
    }

    /// A row `t` of the table and a row `h` of the copy are of one key.
    fn same_row(&self) -> String {
        let same = |column: &Column| {
            let name = quoted(&column.name);
            let text = if column.as_text { "::pg_catalog.text" } else { "" };
            format!("t.{name}{text} = h.{name}")
        };
        self.key.iter().map(same).collect::<Vec<_>>().join(" AND ")
    }

    /// Puts rows into the copy, in the place of those that it has of the same key.
    fn upsert(&self, filter: &str) -> String {
        let columns = self.copied();
        let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
        let values: Vec<String> = columns.iter().map(|column| selected(column)).collect();
        let sets: Vec<String> = names.iter().map(|name| format!("{name} = excluded.{name}")).collect();
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM ONLY {} t WHERE {filter} ON CONFLICT ({}) DO UPDATE SET {}",
            self.holder(),
            names.join(", "),
            values.join(", "),
            self.relation.quoted(),
            self.keys(),
            sets.join(", ")
        )
    }

    /// It is kept under an id and a name of its own.
    pub(crate) fn renew(&mut self) {
        let Self { what, relation, columns, key, held, definition, .. } = self;
        let parts =
            (relation.clone(), columns.clone(), key.clone(), held.clone(), std::mem::take(definition));
        *self = Self::new(*what, parts.0, parts.1, parts.2, parts.3, parts.4);
    }

    /// It is kept under the copy's id and name.
    fn adopt(&mut self, ahead: &Ahead) {
        (self.id, self.holder) = (ahead.id.clone(), ahead.holder.clone());
    }
}

/// The copy of just this table as it is now, where there is one that can be used.
pub(crate) async fn find(session: &Session, target: &mut Target) -> Result<Option<Ahead>, QueryError> {
    let there = "SELECT pg_catalog.to_regclass('stopover_saved.copying') IS NOT NULL";
    if !session.query(there, &[]).await?.first().is_some_and(|row| row.get(0)) {
        return Ok(None);
    }
    let sql = "SELECT c.id, c.holder, c.since, c.through, c.blocks FROM stopover_saved.copying c \
               WHERE c.relation = $1 AND c.file = pg_catalog.pg_relation_filenode($1::oid) AND c.what = $2 \
                 AND c.columns = $3 AND c.key = $4 \
                 AND pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) - c.since < $5 LIMIT 1";
    let rows = session
        .query(
            sql,
            &[
                (&target.relation.oid, Type::OID),
                (&target.what.as_str(), Type::TEXT),
                (&Json(&target.columns), Type::JSONB),
                (&Json(&target.key), Type::JSONB),
                (&OLDEST, Type::INT8),
            ],
        )
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let id = row.get::<_, &str>(0).parse();
    let ahead = Ahead {
        id: id.map_err(|_| QueryError::Answer("an id in stopover_saved.copying".to_owned()))?,
        holder: row.get(1),
        since: row.get(2),
        through: row.get(3),
        blocks: row.get(4),
    };
    target.adopt(&ahead);
    Ok(Some(ahead))
}

/// Begins one, in the transaction that runs.
pub(crate) async fn begin(session: &Session, target: &Target) -> Result<Ahead, QueryError> {
    ensure(session).await?;
    let table = session.client().batch_execute(include_str!("copying.sql")).await;
    table.map_err(|e| session.error(e))?;
    let source = target.relation.quoted();
    let wanted: Vec<String> = target.copied().into_iter().map(selected).collect();
    let make = format!(
        "CREATE TABLE {0} AS SELECT {1} FROM ONLY {source} WITH NO DATA; CREATE UNIQUE INDEX {2} ON {0} ({3})",
        target.holder(),
        wanted.join(", "),
        quoted(&index_of(target)),
        target.keys()
    );
    session.client().batch_execute(&make).await.map_err(|e| session.error(e))?;
    let sql = "INSERT INTO stopover_saved.copying (id, holder, relation, file, what, columns, key, since, blocks) \
               SELECT $1, $2, $3, pg_catalog.pg_relation_filenode($3::oid), $4, $5, $6, \
                   pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot()), \
                   pg_catalog.pg_relation_size($3::oid) / pg_catalog.current_setting('block_size')::bigint \
               RETURNING since, blocks";
    let rows = session
        .query(
            sql,
            &[
                (&target.id.as_str(), Type::TEXT),
                (&target.holder, Type::TEXT),
                (&target.relation.oid, Type::OID),
                (&target.what.as_str(), Type::TEXT),
                (&Json(&target.columns), Type::JSONB),
                (&Json(&target.key), Type::JSONB),
            ],
        )
        .await?;
    let row = rows.first().ok_or_else(|| QueryError::Answer("no row of the copy".to_owned()))?;
    let (since, blocks) = (row.get(0), row.get(1));
    Ok(Ahead { id: target.id.clone(), holder: target.holder.clone(), since, through: 0, blocks })
}

impl Ahead {
    pub(crate) fn id(&self) -> &SavedId {
        &self.id
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.through >= self.blocks
    }

    /// In percent.
    pub(crate) fn progress(&self) -> i64 {
        self.through * 100 / self.blocks.max(1)
    }

    /// The next blocks of the table, in the transaction that runs; they count once that is committed.
    pub(crate) async fn batch(
        &self,
        session: &Session,
        target: &Target,
        blocks: i64,
    ) -> Result<Self, QueryError> {
        let through = (self.through + blocks).min(self.blocks);
        let part = format!("t.ctid >= '({},0)'::tid AND t.ctid < '({through},0)'::tid", self.through);
        execute(session, &target.upsert(&format!("{part} AND {}", target.with_values()))).await?;
        let sql = "UPDATE stopover_saved.copying SET through = $2 WHERE id = $1";
        session.execute(sql, &[(&self.id.as_str(), Type::TEXT), (&through, Type::INT8)]).await?;
        Ok(Self { through, ..self.clone() })
    }

    /// What was written and deleted since, in the transaction that runs, beside which others go on: little is left to do
    /// under the lock then.
    pub(crate) async fn follow(&self, session: &Session, target: &Target) -> Result<Self, QueryError> {
        // Before anything is read: what is written from here on is looked for once more.
        let sql = "UPDATE stopover_saved.copying SET since = pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot()) \
                   WHERE id = $1 RETURNING since";
        let rows = session.query(sql, &[(&self.id.as_str(), Type::TEXT)]).await?;
        let since = rows.first().map_or(self.since, |row| row.get(0));
        self.again(session, target, &self.changed(session).await?).await?;
        execute(session, &without_deleted(target)).await?;
        Ok(Self { since, ..self.clone() })
    }

    /// The rest, under the lock of the drop: the copy is what the table holds then. None: it is not, whatever the reason,
    /// and has to be made anew.
    pub(crate) async fn catch_up(
        &self,
        session: &Session,
        target: &Target,
    ) -> Result<Option<CaughtUp>, QueryError> {
        let (holder, source) = (target.holder(), target.relation.quoted());
        let (with_values, changed) = (target.with_values(), self.changed(session).await?);
        // One look at the table: under the lock each of them counts.
        let sql = format!(
            "SELECT count(*) FILTER (WHERE {with_values}), count(*) FILTER (WHERE {changed}), \
                 coalesce((array_agg(t.ctid) FILTER (WHERE {changed}))::text, '{{}}') FROM ONLY {source} t"
        );
        let row = session.client().query_typed_one(&sql, &[]).await.map_err(|e| session.error(e))?;
        let number_at = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or_default();
        let (rows, again) = (number_at(0), number_at(1));
        if again > MOST_PLACES {
            self.again(session, target, &changed).await?;
        } else if again > 0 {
            let places = format!("t.ctid = ANY ('{}'::tid[])", row.get::<_, &str>(2));
            self.again(session, target, &places).await?;
        }
        let count = format!("SELECT count(*) FROM {holder}");
        let mut kept = number(session, &count).await?;
        if kept != rows {
            execute(session, &without_deleted(target)).await?;
            kept = number(session, &count).await?;
        }
        if kept != rows {
            return Ok(None);
        }
        let close = format!(
            "DROP INDEX {SCHEMA}.{}; DELETE FROM stopover_saved.copying WHERE id = '{}'",
            quoted(&index_of(target)),
            self.id
        );
        session.client().batch_execute(&close).await.map_err(|e| session.error(e))?;
        Ok(Some(CaughtUp { rows, again }))
    }

    /// Which rows of `t` were written since.
    async fn changed(&self, session: &Session) -> Result<String, QueryError> {
        let age = number(session, &format!("SELECT pg_catalog.txid_current() - {}", self.since)).await?;
        Ok(format!("pg_catalog.age(t.xmin) <= {age}"))
    }

    /// Copies these rows of `t` once more; one that has no value any more goes.
    async fn again(&self, session: &Session, target: &Target, which: &str) -> Result<(), QueryError> {
        let with_values = target.with_values();
        execute(session, &target.upsert(&format!("{which} AND {with_values}"))).await?;
        if target.is_columns() {
            let gone = format!(
                "DELETE FROM {} h USING ONLY {} t WHERE {which} AND NOT ({with_values}) AND {}",
                target.holder(),
                target.relation.quoted(),
                target.same_row()
            );
            execute(session, &gone).await?;
        }
        Ok(())
    }
}

/// Rows that are in the table no more.
fn without_deleted(target: &Target) -> String {
    format!(
        "DELETE FROM {} h WHERE NOT EXISTS (SELECT FROM ONLY {} t WHERE {} AND {})",
        target.holder(),
        target.relation.quoted(),
        target.same_row(),
        target.with_values()
    )
}

/// Drops every copy that no drop has made its own, but these; in the transaction that runs.
pub(crate) async fn drop_others(session: &Session, but: &[SavedId]) -> Result<(), QueryError> {
    let there = "SELECT pg_catalog.to_regclass('stopover_saved.copying') IS NOT NULL";
    if !session.query(there, &[]).await?.first().is_some_and(|row| row.get(0)) {
        return Ok(());
    }
    let but: Vec<&str> = but.iter().map(SavedId::as_str).collect();
    let sql = "DELETE FROM stopover_saved.copying WHERE id <> ALL ($1) RETURNING holder";
    for row in session.query(sql, &[(&but, Type::TEXT_ARRAY)]).await? {
        let drop = format!("DROP TABLE IF EXISTS {SCHEMA}.{}", quoted(row.get::<_, &str>(0)));
        session.client().batch_execute(&drop).await.map_err(|e| session.error(e))?;
    }
    Ok(())
}

fn index_of(target: &Target) -> String {
    format!("copying_{}", target.id)
}
