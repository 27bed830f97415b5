//! How long a migration should take, and what that is based on.
//!
//! Of each statement, in the order of trust: what the same statement took elsewhere; how fast this environment does
//! work of its kind; a sample of the rows. A statement that only changes the catalog takes next to nothing, and waits for
//! locks are nobody's to know.

mod answer;
mod pace;
mod past;
mod sampled;
mod statement;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::measured::{Known, MeasuredKind, Measurement, main_work};
use super::rates::{as_f64, seconds};
pub use super::span::Spread;
use super::{MigrationSummary, grouped, span};
use crate::duration::human;
use crate::id::DatabaseName;
use crate::impact::{StatementImpact, WorkKind};
use crate::migration::{ScriptSummary, Variant};
use crate::report::Inspection;

/// How long it should take, and what that is based on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    #[serde(with = "crate::duration")]
    pub duration: Duration,
    pub basis: String,
    /// Where it is known how much what was measured differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Those of the statements that take their time, in order; empty where only the whole was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<StatementEstimate>,
}

/// Of one statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementEstimate {
    /// From 0, in the variant's summary.
    pub index: u32,
    #[serde(with = "crate::duration")]
    pub duration: Duration,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    pub basis: String,
}

impl Estimate {
    #[must_use]
    pub fn new(duration: Duration, basis: impl Into<String>) -> Self {
        Self { duration, basis: basis.into(), spread: None, statements: Vec::new() }
    }

    /// "about 14 s", "2 to 4 min", "next to nothing".
    #[must_use]
    pub fn words(&self) -> String {
        span::words(self.duration, self.spread)
    }
}

impl StatementEstimate {
    /// As [`Estimate::words`].
    #[must_use]
    pub fn words(&self) -> String {
        span::words(self.duration, self.spread)
    }
}

/// What is to be estimated, and what may be gone by.
pub(super) struct Subject<'a> {
    pub(super) database: &'a DatabaseName,
    pub(super) migration: &'a MigrationSummary,
    pub(super) variant: Variant,
    /// Of the table that the migration names.
    pub(super) table_rows: Option<u64>,
    pub(super) inspection: &'a Inspection,
    pub(super) known: &'a Known<'a>,
}

impl Subject<'_> {
    /// The estimate, or what is missing for one.
    pub(super) fn estimate(&self) -> Result<Estimate, String> {
        match self.by_statements() {
            Ok(estimate) => Ok(estimate),
            // Not every statement can be looked into; the whole may have been seen all the same.
            Err(missing) => self.by_the_whole().ok_or(missing),
        }
    }

    fn script(&self) -> &ScriptSummary {
        self.migration.script(self.variant)
    }

    fn by_statements(&self) -> Result<Estimate, String> {
        let impact = self.inspection.impacts.iter();
        let mut impact = impact.filter(|i| i.migration == self.migration.id && i.variant == self.variant);
        let Some(impact) = impact.next() else {
            return Err(
                "nothing is known of the work of its statements, and no earlier stage has measured it"
                    .to_owned(),
            );
        };
        let mut parts = Vec::new();
        for (index, summary) in (0_u32..).zip(&self.script().statements) {
            let found = impact.statements.iter().find(|s| s.index == index);
            let statement = statement::Statement { subject: self, index, summary, impact: found };
            parts.extend(statement.estimate()?);
        }
        Ok(whole(parts))
    }

    /// Scales what the last earlier run of this deployment took by the number of rows.
    fn by_the_whole(&self) -> Option<Estimate> {
        let last = self.known.runs.iter().rev().find(|m| *m.migration == self.migration.id)?;
        let took = human(last.took);
        let (duration, basis) = match self.table_rows.filter(|_| last.rows > 0) {
            Some(rows) => {
                let factor = (as_f64(rows) / as_f64(last.rows)).max(0.01);
                let basis = format!("{} rows took {took} in {}", grouped(last.rows), last.environment);
                (seconds(last.took.as_secs_f64() * factor), basis)
            }
            None => (last.took, format!("it took {took} in {}", last.environment)),
        };
        Some(Estimate::new(in_millis(duration), basis))
    }
}

/// One statement's estimate, before it is put together with the others.
pub(super) struct Part<'a> {
    estimate: StatementEstimate,
    /// The measurement of the same statement that it is from.
    past: Option<&'a Measurement>,
}

/// All of them together.
fn whole(parts: Vec<Part<'_>>) -> Estimate {
    let mut longest: Vec<&Part<'_>> = parts.iter().collect();
    longest.sort_by_key(|part| std::cmp::Reverse(part.estimate.duration));
    let Some(first) = longest.first() else {
        return Estimate::new(Duration::ZERO, "only the catalog changes; a wait for a lock comes on top");
    };
    let duration = parts.iter().map(|part| part.estimate.duration).sum();
    let basis = one_run(&parts).unwrap_or_else(|| match &longest[..] {
        [one] => one.estimate.basis.clone(),
        [one, two, rest @ ..] if two.estimate.duration.saturating_mul(10) > one.estimate.duration => {
            let named =
                |part: &Part<'_>| format!("statement {}: {}", part.estimate.index + 1, part.estimate.basis);
            let rest = if rest.is_empty() { String::new() } else { "; the others take less".to_owned() };
            format!("{}; {}{rest}", named(one), named(two))
        }
        _ => format!(
            "statement {}, which takes most of it: {}",
            first.estimate.index + 1,
            first.estimate.basis
        ),
    });
    let spread = parts.iter().any(|part| part.estimate.spread.is_some()).then(|| Spread {
        low: parts.iter().map(|p| p.estimate.spread.map_or(p.estimate.duration, |s| s.low)).sum(),
        high: parts.iter().map(|p| p.estimate.spread.map_or(p.estimate.duration, |s| s.high)).sum(),
    });
    let statements = parts.into_iter().map(|part| part.estimate).collect();
    Estimate { duration: in_millis(duration), basis, spread, statements }
}

/// Where all statements were seen in one earlier run, that run speaks for all of them.
fn one_run(parts: &[Part<'_>]) -> Option<String> {
    let runs: Vec<&Measurement> = parts.iter().map(|part| part.past).collect::<Option<_>>()?;
    let (first, rest) = runs.split_first()?;
    let alike = |m: &&Measurement| {
        let place = |m: &Measurement| (m.environment.clone(), m.database.clone(), m.at);
        place(m) == place(first)
            && (m.kind == MeasuredKind::Rehearsed) == (first.kind == MeasuredKind::Rehearsed)
    };
    if rest.is_empty() || !rest.iter().all(alike) {
        return None;
    }
    let rows = runs.iter().map(|m| m.rows).max().unwrap_or(0);
    let took: Duration = runs.iter().map(|m| m.took).sum();
    let what = if rows > 0 { format!("{} rows", grouped(rows)) } else { "it".to_owned() };
    let place = match first.kind {
        MeasuredKind::Rehearsed => rehearsed_at(first),
        _ => format!("in {}", first.environment),
    };
    Some(format!("{what} took {} {place}", human(in_millis(took))))
}

/// "rehearsed on a copy of this database, 2026-11-23 05:54 UTC".
fn rehearsed_at(measured: &Measurement) -> String {
    format!("rehearsed on a copy of this database, {}", measured.at.strftime("%Y-%m-%d %H:%M UTC"))
}

/// A figure of more than a millisecond's precision would pretend to know.
fn in_millis(duration: Duration) -> Duration {
    if duration.is_zero() {
        return duration;
    }
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1))
}

/// "changes about 1,000,000 rows of public.users".
fn doing(impact: &StatementImpact) -> String {
    let Some(work) = main_work(&impact.work) else { return "does something".to_owned() };
    let (rows, relation) = (grouped(work.rows), &work.relation);
    match work.kind {
        WorkKind::Rewrite => format!("rewrites about {rows} rows of {relation}"),
        WorkKind::Scan => format!("reads about {rows} rows of {relation}"),
        WorkKind::BuildIndex => format!("indexes about {rows} rows of {relation}"),
        WorkKind::ChangeRows => format!("goes through about {rows} rows of {relation}"),
    }
}

#[cfg(test)]
mod tests;
