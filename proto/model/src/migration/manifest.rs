//! `migration.toml`: what the SQL alone can't say.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::expectation::{Expectation, Scalar};
use super::raw::{duration, expectation_of, name, query, rhythm};
use super::source::{Source, TransactionMode};
use crate::config::{self, ConfigError};
use crate::id::MigrationId;

/// The contents of a `migration.toml`; the default is that of a migration without one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub description: Option<String>,
    /// The table whose live row count picks the variant and drives the estimate; may be `schema.table`.
    pub table: Option<String>,
    /// From this many live rows on, up.batch.sql runs instead of up.sql.
    pub batch_above_rows: Option<u64>,
    /// Whether a statement that commits on its own and leaves no trace may be run again after a crash.
    pub rerun: Rerun,
    /// `transaction = "never"`: each statement of each script in a transaction of its own.
    #[serde(default)]
    pub transaction: TransactionMode,
    /// `down_transaction`: the same of down.sql alone; as `transaction` where it isn't given.
    #[serde(default)]
    pub down_transaction: TransactionMode,
    /// `save = false`: what its scripts drop is not saved before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_save: bool,
    /// What must hold before anything of the deployment is applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    pub verify: Vec<Check>,
    pub monitors: Vec<Monitor>,
    pub follow_ups: Vec<FollowUp>,
    /// Where the scripts were found in a directory that another tool reads. Never written by people.
    #[serde(default)]
    pub source: Option<Source>,
}

/// See [`Manifest::rerun`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rerun {
    /// Not declared: a person looks first.
    #[default]
    Unknown,
    /// Running it again does no harm and completes what is missing.
    Safe,
}

/// A query and what it must answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub sql: String,
    pub expect: Expectation,
}

/// A check that runs through the soak; a failure stops the promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Monitor {
    #[serde(with = "crate::duration")]
    pub every: Duration,
    /// `for`: how long it has to fail without a break before that counts.
    #[serde(default, skip_serializing_if = "Duration::is_zero", with = "crate::duration")]
    pub patience: Duration,
    pub check: Check,
}

/// A query for later: the day after, the week after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FollowUp {
    pub name: String,
    /// Of the first run, from the success of the stage.
    #[serde(with = "crate::duration")]
    pub after: Duration,
    /// `every` and `for`; None: it runs once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
    pub sql: String,
    /// None: whatever it answers is kept.
    pub expect: Option<Expectation>,
}

/// How a follow-up is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    #[serde(with = "crate::duration")]
    pub every: Duration,
    /// From the success of the stage; a run at its very end is one of them.
    #[serde(with = "crate::duration")]
    pub until: Duration,
}

impl Manifest {
    /// Reads a `migration.toml`; `file` names it in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let raw: RawManifest = config::parse(file, text)?;
        let manifest = Self {
            description: raw.description,
            table: raw.table,
            batch_above_rows: raw.batch_above_rows,
            rerun: raw.rerun,
            transaction: raw.transaction,
            down_transaction: raw.down_transaction.unwrap_or(raw.transaction),
            no_save: raw.save == Some(false),
            source: raw.source.clone().map(toml::Spanned::into_inner),
            checks: raw.check.into_iter().map(|c| c.into_check(file, text)).collect::<Result<_, _>>()?,
            verify: raw.verify.into_iter().map(|c| c.into_check(file, text)).collect::<Result<_, _>>()?,
            monitors: raw
                .monitor
                .into_iter()
                .map(|m| m.into_monitor(file, text))
                .collect::<Result<_, _>>()?,
            follow_ups: raw
                .follow_up
                .into_iter()
                .map(|f| f.into_follow_up(file, text))
                .collect::<Result<_, _>>()?,
        };
        manifest.check_names(file)?;
        if let Some(source) = raw.source {
            manifest.check_source(file, text, source.span())?;
        }
        Ok(manifest)
    }

    /// What people know a script by: `001_x/up.sql`, or the file that another tool reads.
    #[must_use]
    pub fn file_name(&self, id: &MigrationId, script: &str) -> String {
        let found = self.source.as_ref().and_then(|source| match script {
            "up.sql" => Some(&source.file),
            "down.sql" => source.down.as_ref().map(|down| &down.file),
            _ => None,
        });
        found.cloned().unwrap_or_else(|| format!("{id}/{script}"))
    }

    /// What is not written by us could say that an error is where it isn't.
    /// Whether it runs again when its content is not what ran last, as Flyway's `R__x.sql` do.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.repeatable)
    }

    fn check_source(&self, file: &str, text: &str, span: Range<usize>) -> Result<(), ConfigError> {
        let Some(source) = &self.source else { return Ok(()) };
        let generated = Self {
            transaction: self.transaction,
            down_transaction: self.down_transaction,
            source: self.source.clone(),
            ..Self::default()
        };
        if *self != generated {
            let message = "[source] is for the directories of other tools, which have nothing but scripts; remove the table";
            return Err(ConfigError::at(file, text, Some(span), message));
        }
        let down = source.down.as_ref().map(|down| (&down.file, down.first_line));
        for (name, first_line) in [(&source.file, source.first_line)].into_iter().chain(down) {
            if name.is_empty() || name.chars().any(char::is_control) || first_line == 0 {
                let message = format!(
                    "[source]: `{}` can't be the name of a script's file; rename it",
                    name.escape_debug()
                );
                return Err(ConfigError::at(file, text, Some(span), message));
            }
        }
        Ok(())
    }

    fn check_names(&self, file: &str) -> Result<(), ConfigError> {
        let groups: [(&str, Vec<&str>); 4] = [
            ("check", self.checks.iter().map(|c| c.name.as_str()).collect()),
            ("verify", self.verify.iter().map(|c| c.name.as_str()).collect()),
            ("monitor", self.monitors.iter().map(|m| m.check.name.as_str()).collect()),
            ("follow_up", self.follow_ups.iter().map(|f| f.name.as_str()).collect()),
        ];
        for (group, mut names) in groups {
            names.sort_unstable();
            if let Some(twice) =
                names.windows(2).find_map(|pair| matches!(pair, [a, b] if a == b).then_some(pair[0]))
            {
                let message = format!("two [[{group}]] have the name \"{twice}\"; give each its own");
                return Err(ConfigError::whole(file, message));
            }
        }
        if self.batch_above_rows.is_some() && self.table.is_none() {
            let message = "batch_above_rows needs `table`: whose rows should be counted?";
            return Err(ConfigError::whole(file, message));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    description: Option<String>,
    table: Option<String>,
    batch_above_rows: Option<u64>,
    #[serde(default)]
    rerun: Rerun,
    #[serde(default)]
    transaction: TransactionMode,
    down_transaction: Option<TransactionMode>,
    save: Option<bool>,
    source: Option<toml::Spanned<Source>>,
    #[serde(default)]
    check: Vec<RawCheck>,
    #[serde(default)]
    verify: Vec<RawCheck>,
    #[serde(default)]
    monitor: Vec<RawMonitor>,
    #[serde(default)]
    follow_up: Vec<RawFollowUp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCheck {
    name: toml::Spanned<String>,
    sql: String,
    expect: Option<Scalar>,
    expect_rows: Option<u64>,
    expect_min: Option<f64>,
    expect_max: Option<f64>,
    row: Option<BTreeMap<String, Scalar>>,
    uses_index: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMonitor {
    name: toml::Spanned<String>,
    every: toml::Spanned<String>,
    #[serde(rename = "for")]
    patience: Option<toml::Spanned<String>>,
    sql: String,
    expect: Option<Scalar>,
    expect_rows: Option<u64>,
    expect_min: Option<f64>,
    expect_max: Option<f64>,
    row: Option<BTreeMap<String, Scalar>>,
    uses_index: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFollowUp {
    name: toml::Spanned<String>,
    after: Option<toml::Spanned<String>>,
    every: Option<toml::Spanned<String>>,
    #[serde(rename = "for")]
    until: Option<toml::Spanned<String>>,
    sql: String,
    expect: Option<Scalar>,
    expect_rows: Option<u64>,
    expect_min: Option<f64>,
    expect_max: Option<f64>,
    row: Option<BTreeMap<String, Scalar>>,
    uses_index: Option<String>,
}

impl RawCheck {
    fn into_check(self, file: &str, text: &str) -> Result<Check, ConfigError> {
        let expect = expectation_of!(self).required(file, text, &self.name)?;
        Ok(Check {
            name: name(file, text, &self.name)?,
            sql: query(file, text, &self.name, self.sql)?,
            expect,
        })
    }
}

impl RawMonitor {
    fn into_monitor(self, file: &str, text: &str) -> Result<Monitor, ConfigError> {
        let (every, patience) = rhythm(file, text, &self.every, self.patience.as_ref())?;
        let expect = expectation_of!(self).required(file, text, &self.name)?;
        let check = Check {
            name: name(file, text, &self.name)?,
            sql: query(file, text, &self.name, self.sql)?,
            expect,
        };
        Ok(Monitor { every, patience, check })
    }
}

impl RawFollowUp {
    fn times(&self, file: &str, text: &str) -> Result<(Duration, Option<Again>), ConfigError> {
        /// An hour apart they are no load worth speaking of, and a history that can be read; seconds are for trying it out.
        const MOST_RUNS: u128 = 1_000;
        let at = |value: &toml::Spanned<String>, message: String| {
            Err(ConfigError::at(file, text, Some(value.span()), message))
        };
        let (every, until) = match (&self.after, &self.every, &self.until) {
            (Some(after), None, None) => return Ok((duration(file, text, after)?, None)),
            (None, Some(every), Some(until)) => (every, until),
            (None, Some(every), None) => {
                return at(every, "`every` needs its end: add for = \"7d\", say".to_owned());
            }
            _ => {
                let message = format!(
                    "\"{}\" says when it runs in one of two ways: after = \"7d\", or every = \"1d\" with for = \"7d\"",
                    self.name.get_ref()
                );
                return at(&self.name, message);
            }
        };
        let again = Again { every: duration(file, text, every)?, until: duration(file, text, until)? };
        if again.every < Duration::from_secs(1) || again.until < again.every {
            return at(until, "`every` is at least a second, and fits into `for`".to_owned());
        }
        let runs = again.until.as_millis() / again.every.as_millis().max(1);
        if runs > MOST_RUNS {
            return at(every, format!("that is {runs} runs; a follow-up has {MOST_RUNS} at most"));
        }
        Ok((again.every, Some(again)))
    }

    fn into_follow_up(self, file: &str, text: &str) -> Result<FollowUp, ConfigError> {
        let (after, again) = self.times(file, text)?;
        let expect = expectation_of!(self).optional(file, text, &self.name)?;
        Ok(FollowUp {
            name: name(file, text, &self.name)?,
            after,
            again,
            sql: query(file, text, &self.name, self.sql)?,
            expect,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse("migration.toml", text).map_err(|e| e.to_string())
    }

    #[test]
    fn every_kind_of_expectation_is_read() {
        let manifest = parse(
            r#"
            table = "users"
            batch_above_rows = 100_000
            rerun = "safe"
            [[check]]
            name = "nobody imports"
            sql = "SELECT 0"
            expect = 0
            [[verify]]
            name = "value"
            sql = "SELECT 0"
            expect = 0
            [[verify]]
            name = "rows"
            sql = "SELECT 1"
            expect_rows = 1
            [[verify]]
            name = "range"
            sql = "SELECT 1"
            expect_min = 1
            [[verify]]
            name = "row"
            sql = "SELECT 1 AS a"
            row = { a = 1 }
            [[verify]]
            name = "index"
            sql = "SELECT 1"
            uses_index = "i"
            [[monitor]]
            name = "m"
            every = "10m"
            sql = "SELECT 0"
            expect = 0
            [[follow_up]]
            name = "f"
            after = "1d"
            sql = "SELECT 0"
            "#,
        )
        .unwrap();
        assert_eq!((manifest.checks.len(), manifest.verify.len()), (1, 5));
        assert_eq!(manifest.verify[2].expect, Expectation::Between { min: Some(1.0), max: None });
        assert_eq!(manifest.monitors[0].every, Duration::from_mins(10));
        assert_eq!(manifest.follow_ups[0].expect, None);
    }

    #[test]
    fn the_transaction_of_down_is_that_of_up_unless_it_is_given() {
        use TransactionMode::{Auto, Never};
        let modes = |text| parse(text).map(|m| (m.transaction, m.down_transaction)).unwrap();
        assert_eq!(modes(""), (Auto, Auto));
        assert_eq!(modes("transaction = \"never\""), (Never, Never));
        assert_eq!(modes("transaction = \"never\"\ndown_transaction = \"auto\""), (Never, Auto));
    }

    #[test]
    fn errors_name_the_place_and_the_way_out() {
        let cases = [
            ("[[verify]]\nname = \"a\"\nsql = \"SELECT 1\"\n", "migration.toml:2:8: \"a\" says nothing"),
            ("[[verify]]\nname = \"a\"\nsql = \"SELECT 1\"\nexpect = 1\nexpect_rows = 1\n", "keep one of"),
            ("[[verify]]\nname = \"a\"\nsql = \"SELECT 1; SELECT 2\"\nexpect = 1\n", "holds 2 statements"),
            (
                "[[monitor]]\nname = \"a\"\nevery = \"10\"\nsql = \"SELECT 1\"\nexpect = 1\n",
                "migration.toml:3:9",
            ),
            ("batch_above_rows = 5\n", "batch_above_rows needs `table`"),
            ("rerun = \"sure\"\n", "unknown variant `sure`"),
            ("tabel = \"users\"\n", "did you mean `table`?"),
            ("transaction = \"no\"\n", "unknown variant `no`, expected `auto` or `never`"),
            (
                "table = \"t\"\n[source]\nlayout = \"goose\"\nfile = \"1_x.sql\"\nfirst_line = 2\n",
                "migration.toml:2:1: [source] is for the directories of other tools",
            ),
            ("[source]\nlayout = \"goose\"\nfile = \"a\"\nfirst_line = 0\n", "can't be the name"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}\n gave {error}");
        }
    }
}
