//! What a check's query must answer, and whether it did.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A single value of a query's answer, or of a `migration.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

/// What the answer must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expectation {
    /// `expect = 0`: one row with one column of this value.
    Value(Scalar),
    /// `expect_rows = 3`: that many rows.
    Rows(u64),
    /// `expect_min`, `expect_max`, or both: one numeric value, the limits included.
    Between { min: Option<f64>, max: Option<f64> },
    /// `row = { column = value }`: one row that has these values in these columns; other columns don't matter.
    Row(BTreeMap<String, Scalar>),
    /// `uses_index = "name"`: the planner serves the query by this index.
    UsesIndex(String),
}

/// Whether an answer met the expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub passed: bool,
    /// What was seen, for people; escaped and of bounded length.
    pub observed: String,
}

impl Expectation {
    /// Judges an answer given as text, the way PostgreSQL prints values: rows of (column, value), None being NULL.
    /// `total_rows` may be more than the rows given.
    ///
    /// [`Expectation::UsesIndex`] is about a plan, not an answer: it never passes here.
    #[must_use]
    pub fn judge(&self, rows: &[Vec<(String, Option<String>)>], total_rows: u64) -> Verdict {
        let passed = match self {
            Self::Rows(wanted) => {
                return Verdict { passed: total_rows == *wanted, observed: count(total_rows, "row") };
            }
            Self::Value(wanted) => {
                matches!(rows, [row] if matches!(&row[..], [(_, value)] if wanted.matches(value.as_deref())))
            }
            Self::Between { min, max } => {
                matches!(rows, [row] if matches!(&row[..], [(_, Some(value))] if within(value, *min, *max)))
            }
            Self::Row(wanted) => matches!(rows, [row] if wanted.iter().all(|(name, wanted)| {
                row.iter().any(|(column, value)| column == name && wanted.matches(value.as_deref()))
            })),
            Self::UsesIndex(_) => false,
        };
        Verdict { passed: passed && total_rows == 1, observed: observed(rows, total_rows) }
    }
}

/// An answer for people, where nothing is expected of it.
#[must_use]
pub fn seen(rows: &[Vec<(String, Option<String>)>], total_rows: u64) -> Verdict {
    Verdict { passed: true, observed: observed(rows, total_rows) }
}

impl Scalar {
    /// Compares with a value as PostgreSQL prints it. Numbers compare as numbers, `t` and `true` are the same.
    fn matches(&self, printed: Option<&str>) -> bool {
        let Some(printed) = printed else { return false };
        match self {
            Self::Bool(wanted) => match printed {
                "t" | "true" => *wanted,
                "f" | "false" => !*wanted,
                _ => false,
            },
            Self::Int(wanted) => {
                printed.parse() == Ok(*wanted)
                    || printed.parse::<f64>().is_ok_and(|v| within(&wanted.to_string(), Some(v), Some(v)))
            }
            Self::Float(wanted) => within(printed, Some(*wanted), Some(*wanted)),
            Self::Text(wanted) => wanted == printed,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(v) => write!(f, "{v}"),
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v}"),
            Self::Text(v) => write!(f, "'{}'", v.escape_debug()),
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(v) => write!(f, "{v}"),
            Self::Rows(n) => f.write_str(&count(*n, "row")),
            Self::Between { min: Some(min), max: Some(max) } => write!(f, "between {min} and {max}"),
            Self::Between { min: Some(min), max: None } => write!(f, "at least {min}"),
            Self::Between { min: None, max: Some(max) } => write!(f, "at most {max}"),
            Self::Between { min: None, max: None } => write!(f, "a number"),
            Self::Row(columns) => {
                let columns: Vec<_> =
                    columns.iter().map(|(name, value)| format!("{name} = {value}")).collect();
                write!(f, "one row with {}", columns.join(", "))
            }
            Self::UsesIndex(index) => write!(f, "served by the index {index}"),
        }
    }
}

fn within(printed: &str, min: Option<f64>, max: Option<f64>) -> bool {
    printed
        .parse::<f64>()
        .is_ok_and(|value| min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max))
}

fn observed(rows: &[Vec<(String, Option<String>)>], total_rows: u64) -> String {
    match rows {
        [] => "no row".to_owned(),
        [row] if total_rows == 1 => {
            let values: Vec<_> = match &row[..] {
                [(_, value)] => vec![shown(value.as_deref())],
                columns => columns
                    .iter()
                    .map(|(name, value)| format!("{name} = {}", shown(value.as_deref())))
                    .collect(),
            };
            values.join(", ")
        }
        _ => count(total_rows, "row"),
    }
}

fn shown(value: Option<&str>) -> String {
    const LONGEST: usize = 120;
    let Some(value) = value else {
        return "NULL".to_owned();
    };
    let escaped: String = value.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if value.chars().count() > LONGEST { escaped + "…" } else { escaped }
}

fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: Option<&str>) -> Vec<Vec<(String, Option<String>)>> {
        vec![vec![("count".to_owned(), value.map(str::to_owned))]]
    }

    #[test]
    fn a_value_is_compared_by_its_type() {
        let zero = Expectation::Value(Scalar::Int(0));
        assert!(zero.judge(&one(Some("0")), 1).passed);
        assert!(zero.judge(&one(Some("0.0")), 1).passed);
        assert!(!zero.judge(&one(Some("3")), 1).passed);
        assert!(!zero.judge(&one(None), 1).passed, "NULL equals nothing");
        assert!(!zero.judge(&[], 0).passed);
        assert!(Expectation::Value(Scalar::Bool(true)).judge(&one(Some("t")), 1).passed);
        assert!(Expectation::Value(Scalar::Text("a".into())).judge(&one(Some("a")), 1).passed);
    }

    #[test]
    fn two_rows_never_meet_an_expectation_of_one_value() {
        let rows = [one(Some("0")), one(Some("0"))].concat();
        let verdict = Expectation::Value(Scalar::Int(0)).judge(&rows, 2);
        assert_eq!(verdict, Verdict { passed: false, observed: "2 rows".to_owned() });
    }

    #[test]
    fn limits_include_themselves() {
        let between = Expectation::Between { min: Some(1.0), max: Some(2.0) };
        assert!(between.judge(&one(Some("2")), 1).passed);
        assert!(!between.judge(&one(Some("2.5")), 1).passed);
        assert!(!between.judge(&one(Some("many")), 1).passed);
    }

    #[test]
    fn a_row_names_the_columns_that_matter() {
        let wanted = Expectation::Row([("data_type".to_owned(), Scalar::Text("boolean".into()))].into());
        let row = vec![vec![
            ("data_type".to_owned(), Some("boolean".to_owned())),
            ("is_nullable".to_owned(), Some("NO".to_owned())),
        ]];
        assert!(wanted.judge(&row, 1).passed);
        assert!(!wanted.judge(&one(Some("boolean")), 1).passed, "the column has another name");
    }

    #[test]
    fn what_was_seen_can_not_move_the_cursor() {
        let verdict = Expectation::Value(Scalar::Int(0)).judge(&one(Some("\u{1b}[2J")), 1);
        assert_eq!(verdict.observed, "\\u{1b}[2J");
    }
}
