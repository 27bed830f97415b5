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

/// The rows behind `after`, up to `through` and with it. None is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range<'a> {
    pub key: &'a [KeyColumn],
    pub after: Option<&'a KeyValues>,
    pub through: Option<&'a KeyValues>,
}

impl Range<'_> {
    /// The condition, for columns of the table that is called `qualifier`.
    #[must_use]
    pub fn sql(&self, qualifier: &str) -> String {
        let columns: Vec<_> =
            self.key.iter().map(|column| format!("{qualifier}.{}", quoted(&column.name))).collect();
        let columns = row(&columns);
        let bounds = [(">", self.after), ("<=", self.through)].into_iter();
        let conditions: Vec<_> = bounds
            .filter_map(|(operator, values)| Some(format!("{columns} {operator} {}", self.literal(values?))))
            .collect();
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
