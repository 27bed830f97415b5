//! A range of a key: what lies behind one value and up to another.

use serde::{Deserialize, Serialize};

use crate::sql::quoted;

/// A column of the key that batches walk along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    pub name: String,
    /// As PostgreSQL's `format_type` says it: `bigint`, `uuid`, `character varying(20)`.
    pub type_name: String,
}

/// One value for each column of a key, as text.
pub type KeyValues = Vec<String>;

/// The rows behind `after`, up to `through` and with it. None is open. With a lane, only those of them that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range<'a> {
    pub key: &'a [KeyColumn],
    pub after: Option<&'a KeyValues>,
    pub through: Option<&'a KeyValues>,
    pub lane: Option<Lane>,
}

/// A share of the rows of any range, spread evenly over it: a row belongs to one lane of so many, by its key alone.
///
/// Rows that an UPDATE changes on a full page find no room beside them, so that each gets an entry in every index. Where
/// a range is done lane after lane, the rows of the later ones find the room of those before them, and get none (PostgreSQL
/// documentation, 73.7 "Heap-Only Tuples").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    /// From 0.
    pub number: u8,
    /// A power of two.
    pub of: u8,
}

impl Lane {
    /// Whether a row of such a key is in the same lane for every session, whatever its settings: so it is for integers,
    /// uuids and texts.
    #[must_use]
    pub fn can_tell(key: &[KeyColumn]) -> bool {
        key.iter().all(|column| KeyKind::of(column) != KeyKind::Other)
    }

    /// The condition. A column is hashed behind those before it.
    fn sql(self, key: &[KeyColumn], qualifier: &str) -> String {
        let hash = key.iter().fold("0".to_owned(), |seed, column| {
            let value = format!("{qualifier}.{}", quoted(&column.name));
            match KeyKind::of(column) {
                KeyKind::Integer => format!("pg_catalog.hashint8extended({value}::bigint, {seed})"),
                KeyKind::Uuid => format!("pg_catalog.uuid_hash_extended({value}, {seed})"),
                // By its bytes, whatever its collation takes for equal.
                KeyKind::Text | KeyKind::Other => {
                    format!("pg_catalog.hashtextextended({value}::text COLLATE pg_catalog.\"C\", {seed})")
                }
            }
        });
        format!("{hash} & {} = {}", self.of.saturating_sub(1), self.number)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyKind {
    Integer,
    Uuid,
    Text,
    Other,
}

impl KeyKind {
    fn of(column: &KeyColumn) -> Self {
        match column.type_name.split('(').next().unwrap_or_default() {
            "smallint" | "integer" | "bigint" => Self::Integer,
            "uuid" => Self::Uuid,
            "text" | "character varying" | "character" => Self::Text,
            _ => Self::Other,
        }
    }
}

impl Range<'_> {
    /// The condition, for columns of the table that is called `qualifier`.
    #[must_use]
    pub fn sql(&self, qualifier: &str) -> String {
        let columns: Vec<_> =
            self.key.iter().map(|column| format!("{qualifier}.{}", quoted(&column.name))).collect();
        let columns = row(&columns);
        let bounds = [(">", self.after), ("<=", self.through)].into_iter();
        let bounds = bounds
            .filter_map(|(operator, values)| Some(format!("{columns} {operator} {}", self.literal(values?))));
        let lane = self.lane.map(|lane| lane.sql(self.key, qualifier));
        let conditions: Vec<_> = bounds.chain(lane).collect();
        if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") }
    }

    fn literal(&self, values: &KeyValues) -> String {
        let literals: Vec<_> = self
            .key
            .iter()
            .zip(values)
            .map(|(column, value)| format!("{}::{}", literal(value), column.type_name))
            .collect();
        row(&literals)
    }
}

/// A comparison of rows is one of lexical order, which an index over the same columns serves.
fn row(parts: &[String]) -> String {
    match parts {
        [one] => one.clone(),
        several => format!("({})", several.join(", ")),
    }
}

/// A string that means the same whatever `standard_conforming_strings` is.
fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
