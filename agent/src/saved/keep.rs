//! Copying what is about to go into a table of its own, and writing into the manifest what it was.

use std::collections::BTreeSet;

use stopover_model::digest::Digest;
use stopover_model::id::{MigrationId, SavedId};
use stopover_model::saved::SavedWhat;
use stopover_model::sql::quoted;
use tokio_postgres::types::{Json, Type};

use super::definition::{self, Part};
use super::look::Gone;
use super::relation::{Column, Relation, relations};
use super::{SCHEMA, manifest};
use crate::ledger::{Author, Direction};
use crate::postgres::{QueryError, Session};

/// An emptied table that is larger than this is not kept: whoever truncates gigabytes means it.
pub(crate) const SMALL: u64 = 64 * 1024 * 1024;
/// PostgreSQL's longest name, less the id and the mark before it.
const LONGEST_NAME: usize = 52;

/// For what values are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeper<'a> {
    pub(crate) author: &'a Author,
    pub(crate) migration: &'a MigrationId,
    pub(crate) digest: Digest,
    pub(crate) direction: Direction,
    pub(crate) statement: u32,
}

/// A table, or columns of one, to be kept.
#[derive(Debug)]
pub(crate) struct Target {
    pub(super) id: SavedId,
    pub(super) what: SavedWhat,
    pub(super) relation: Relation,
    /// Those that go, all of them.
    pub(super) columns: Vec<Column>,
    /// By which a row is found again; none where whole rows are kept.
    pub(super) key: Vec<Column>,
    pub(super) definition: Vec<Part>,
    pub(super) holder: String,
    /// What the holder gets; nothing where there are no values of anybody's.
    pub(super) held: Vec<Column>,
}

/// What of that which goes can be kept.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    pub(crate) kept: Vec<Target>,
    /// What is left out, with the reason.
    pub(crate) left: Vec<String>,
}

/// Something that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) id: SavedId,
    /// "12345 values of users.note", "table orders with 12 rows".
    pub(crate) shown: String,
}

/// Finds out what is to be kept. Called with the product's own settings, in the transaction that will drop it.
pub(crate) async fn targets(session: &Session, gone: &Gone) -> Result<Targets, QueryError> {
    let mut targets = Targets::default();
    // Of something that the same transaction has made nobody else has ever seen a row.
    for relation in relations(session, gone).await?.into_iter().filter(|relation| !relation.is_new) {
        if gone.tables.contains(&relation.oid) {
            let definition = definition::of_table(session, &relation, &gone.tables).await?;
            targets.kept.push(Target::of_rows(SavedWhat::Table, relation, definition));
            continue;
        }
        if let Some(columns) = gone.columns.get(&relation.oid) {
            let definition = definition::of_columns(session, &relation, columns).await?;
            targets.kept.push(Target::of_columns(relation, columns, definition));
        } else if relation.bytes <= SMALL {
            targets.kept.push(Target::of_rows(SavedWhat::Emptied, relation, Vec::new()));
        } else {
            targets.left.push(format!(
                "the rows of {} are not saved before it is emptied: it has {}, and up to {} are kept",
                relation.shown(),
                bytesize::ByteSize(relation.bytes),
                bytesize::ByteSize(SMALL),
            ));
        }
    }
    Ok(targets)
}

impl Target {
    fn of_rows(what: SavedWhat, relation: Relation, definition: Vec<Part>) -> Self {
        let key = relation.key_without(&BTreeSet::new()).into_iter().cloned().collect();
        let columns = relation.columns.clone();
        let held = columns.iter().filter(|column| !column.generated).cloned().collect();
        Self::new(what, relation, columns, key, held, definition)
    }

    fn of_columns(relation: Relation, gone: &BTreeSet<i16>, definition: Vec<Part>) -> Self {
        let goes = |column: &&Column| gone.contains(&column.number);
        let columns: Vec<Column> = relation.columns.iter().filter(goes).cloned().collect();
        let key: Vec<Column> = relation.key_without(gone).into_iter().cloned().collect();
        let with_values = |column: &&Column| !column.generated && (key.is_empty() || goes(column));
        let held: Vec<Column> = if columns.iter().all(|column| column.generated) {
            Vec::new()
        } else {
            relation.columns.iter().filter(with_values).cloned().collect()
        };
        Self::new(SavedWhat::Columns, relation, columns, key, held, definition)
    }

    pub(super) fn new(
        what: SavedWhat,
        relation: Relation,
        columns: Vec<Column>,
        key: Vec<Column>,
        held: Vec<Column>,
        definition: Vec<Part>,
    ) -> Self {
        let id = SavedId::from_random(rand::random());
        let name = &relation.name.name;
        let holder = format!("{}_{id}", &name[..name.floor_char_boundary(LONGEST_NAME)]);
        Self { id, what, relation, columns, key, definition, holder, held }
    }

    /// For people: `users.note`, `orders`.
    pub(crate) fn shown(&self) -> String {
        manifest::shown(self.what, &self.relation.shown(), self.columns.iter().map(|c| c.name.as_str()))
    }

    pub(crate) fn oid(&self) -> u32 {
        self.relation.oid
    }

    pub(crate) fn table_bytes(&self) -> u64 {
        self.relation.bytes
    }

    /// The statement that copies the values; None where there are none.
    pub(crate) fn copy(&self) -> Option<String> {
        if self.held.is_empty() {
            return None;
        }
        let is_columns = self.what == SavedWhat::Columns && !self.key.is_empty();
        let keys = self.key.iter().filter(|_| is_columns);
        let wanted: Vec<String> = keys.chain(&self.held).map(selected).collect();
        let values: Vec<String> = self.held.iter().map(|column| quoted(&column.name)).collect();
        let filter = if is_columns {
            format!(" WHERE pg_catalog.num_nonnulls({}) > 0", values.join(", "))
        } else {
            String::new()
        };
        Some(format!(
            "CREATE TABLE {} AS SELECT {} FROM {}{filter}",
            self.holder(),
            wanted.join(", "),
            self.relation.source()
        ))
    }

    /// Writes the manifest's row once the values are copied.
    pub(crate) async fn record(
        &self,
        session: &Session,
        keeper: Keeper<'_>,
        rows: u64,
    ) -> Result<Kept, QueryError> {
        if rows == 0 && !self.held.is_empty() {
            let drop = format!("DROP TABLE {}", self.holder());
            session.client().batch_execute(&drop).await.map_err(|e| session.error(e))?;
        }
        let holder = (rows > 0).then_some(self.holder.as_str());
        let statement = i32::try_from(keeper.statement).unwrap_or(i32::MAX);
        let sql = "INSERT INTO stopover_saved.manifest (id, deployment, migration, digest, direction, statement, attempt, epoch, \
                   run, agent, what, relation, table_schema, table_name, columns, key, holder, rows, bytes, definition) \
                   SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
                       CASE WHEN $17 IS NULL THEN 0 ELSE \
                           pg_catalog.pg_table_size(pg_catalog.format('stopover_saved.%I', $17)::pg_catalog.regclass) END, $19";
        session
            .execute(
                sql,
                &[
                    (&self.id.as_str(), Type::TEXT),
                    (&keeper.author.deployment.as_str(), Type::TEXT),
                    (&keeper.migration.as_str(), Type::TEXT),
                    (&keeper.digest.to_string(), Type::TEXT),
                    (&keeper.direction.as_str(), Type::TEXT),
                    (&statement, Type::INT4),
                    (&keeper.author.attempt(), Type::INT8),
                    (&keeper.author.epoch(), Type::INT8),
                    (&keeper.author.run.as_str(), Type::TEXT),
                    (&keeper.author.agent.as_str(), Type::TEXT),
                    (&self.what.as_str(), Type::TEXT),
                    (&self.relation.oid, Type::OID),
                    (&self.relation.name.schema, Type::TEXT),
                    (&self.relation.name.name, Type::TEXT),
                    (&Json(&self.columns), Type::JSONB),
                    (&Json(&self.key), Type::JSONB),
                    (&holder, Type::TEXT),
                    (&i64::try_from(rows).unwrap_or(i64::MAX), Type::INT8),
                    (&Json(&self.definition), Type::JSONB),
                ],
            )
            .await?;
        let count = match (self.what, rows) {
            (SavedWhat::Columns, 0) => format!("the definition of {} (all values are NULL)", self.shown()),
            (SavedWhat::Columns, _) if self.key.is_empty() => {
                format!("{}, in {rows} whole rows since nothing identifies them,", self.shown())
            }
            (SavedWhat::Columns, 1) => format!("1 value of {}", self.shown()),
            (SavedWhat::Columns, _) => format!("{rows} values of {}", self.shown()),
            (SavedWhat::Table, 1) => format!("table {} with 1 row", self.shown()),
            (SavedWhat::Table, _) => format!("table {} with {rows} rows", self.shown()),
            (SavedWhat::Emptied, _) => format!("the {rows} rows of {}", self.shown()),
        };
        Ok(Kept { id: self.id.clone(), shown: count })
    }

    pub(super) fn holder(&self) -> String {
        format!("{SCHEMA}.{}", quoted(&self.holder))
    }
}

pub(super) fn selected(column: &Column) -> String {
    let name = quoted(&column.name);
    if column.as_text { format!("{name}::pg_catalog.text AS {name}") } else { name }
}

/// What the values are written with, so that they read back as they were; in force until the transaction's end, or until
/// the script's own settings are back.
pub(crate) const WRITING: &str = "SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL intervalstyle = postgres; \
    SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = hex; SET LOCAL xmloption = content; \
    SET LOCAL synchronize_seqscans = off; SET LOCAL row_security = off";

/// Of them, and of the product's own settings.
pub(crate) const CHANGED_SETTINGS: [&str; 11] = [
    "search_path",
    "statement_timeout",
    "lock_timeout",
    "datestyle",
    "intervalstyle",
    "extra_float_digits",
    "bytea_output",
    "xmloption",
    "synchronize_seqscans",
    "row_security",
    "role",
];
