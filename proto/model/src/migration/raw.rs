//! What stands in several tables of TOML files: names, queries, durations, and what is expected.

use std::collections::BTreeMap;
use std::time::Duration;

use super::expectation::{Expectation, Scalar};
use crate::config::ConfigError;

/// The six ways to say what is expected, as they stand in one table of the file. Serde can't flatten and refuse unknown
/// keys at once, so the tables repeat the keys and meet here.
pub(crate) struct RawExpectation {
    pub(crate) expect: Option<Scalar>,
    pub(crate) expect_rows: Option<u64>,
    pub(crate) expect_min: Option<f64>,
    pub(crate) expect_max: Option<f64>,
    pub(crate) row: Option<BTreeMap<String, Scalar>>,
    pub(crate) uses_index: Option<String>,
}

macro_rules! expectation_of {
    ($raw:ident) => {
        $crate::migration::raw::RawExpectation {
            expect: $raw.expect,
            expect_rows: $raw.expect_rows,
            expect_min: $raw.expect_min,
            expect_max: $raw.expect_max,
            row: $raw.row,
            uses_index: $raw.uses_index,
        }
    };
}
pub(crate) use expectation_of;

impl RawExpectation {
    pub(crate) fn required(
        self,
        file: &str,
        text: &str,
        name: &toml::Spanned<String>,
    ) -> Result<Expectation, ConfigError> {
        self.optional(file, text, name)?.ok_or_else(|| {
            let message = format!("\"{}\" says nothing about what is expected: add {WAYS}", name.get_ref());
            ConfigError::at(file, text, Some(name.span()), message)
        })
    }

    pub(crate) fn optional(
        self,
        file: &str,
        text: &str,
        name: &toml::Spanned<String>,
    ) -> Result<Option<Expectation>, ConfigError> {
        let between = (self.expect_min.is_some() || self.expect_max.is_some())
            .then_some(Expectation::Between { min: self.expect_min, max: self.expect_max });
        let given = [
            self.expect.map(Expectation::Value),
            self.expect_rows.map(Expectation::Rows),
            between,
            self.row.map(Expectation::Row),
            self.uses_index.map(Expectation::UsesIndex),
        ];
        let mut given = given.into_iter().flatten();
        let first = given.next();
        if given.next().is_some() {
            let message =
                format!("\"{}\" expects several things at once: keep one of {WAYS}", name.get_ref());
            return Err(ConfigError::at(file, text, Some(name.span()), message));
        }
        Ok(first)
    }
}

const WAYS: &str = "expect, expect_rows, expect_min and expect_max, row, uses_index";

pub(crate) fn name(file: &str, text: &str, name: &toml::Spanned<String>) -> Result<String, ConfigError> {
    let trimmed = name.get_ref().trim();
    if trimmed.is_empty() || trimmed.chars().any(char::is_control) {
        let message = "a name is one line of text: people will read it in the progress and in the log";
        return Err(ConfigError::at(file, text, Some(name.span()), message));
    }
    Ok(trimmed.to_owned())
}

pub(crate) fn query(
    file: &str,
    text: &str,
    name: &toml::Spanned<String>,
    sql: String,
) -> Result<String, ConfigError> {
    let at = |message: String| ConfigError::at(file, text, Some(name.span()), message);
    let count =
        crate::sql::split(&sql).map_err(|e| at(format!("the sql of \"{}\": {e}", name.get_ref())))?.len();
    if count != 1 {
        return Err(at(format!(
            "the sql of \"{}\" must be one query, and holds {count} statements",
            name.get_ref()
        )));
    }
    Ok(sql)
}

pub(crate) fn duration(
    file: &str,
    text: &str,
    value: &toml::Spanned<String>,
) -> Result<Duration, ConfigError> {
    crate::duration::parse(value.get_ref()).map_err(|m| ConfigError::at(file, text, Some(value.span()), m))
}

/// A monitor's `every` and `for`.
pub(crate) fn rhythm(
    file: &str,
    text: &str,
    every: &toml::Spanned<String>,
    patience: Option<&toml::Spanned<String>>,
) -> Result<(Duration, Duration), ConfigError> {
    let interval = duration(file, text, every)?;
    if interval < Duration::from_secs(1) {
        let message = "a monitor runs at most once a second";
        return Err(ConfigError::at(file, text, Some(every.span()), message));
    }
    let patience = patience.map(|value| duration(file, text, value)).transpose()?;
    Ok((interval, patience.unwrap_or_default()))
}
