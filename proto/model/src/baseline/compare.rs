//! What there was before the migration beside what there is in the soak.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{BaselineLimits, Factor, Metrics, StatementMetrics, TableMetrics};
use crate::duration::human;
use crate::plan::grouped;
use crate::text::shown_size;

/// Of so many statements that ran in the soak the mean time is compared: those that took most of it.
const MOST_STATEMENTS: usize = 10;
/// An index of which so many scans were to be expected, and that had none, is not used any more.
const MOST_QUIET: f64 = 20.0;

/// All that can be compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// For how long was counted before the migration; None: that is not known, and nothing is said of rates then.
    #[serde(with = "crate::duration::optional")]
    pub before: Option<Duration>,
    #[serde(with = "crate::duration")]
    pub during: Duration,
    pub figures: Vec<Compared>,
    /// What can't be said, and why.
    pub notes: Vec<String>,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "figure", rename_all = "snake_case")]
pub enum Figure {
    /// A minute.
    SeqScans {
        table: String,
    },
    /// A minute.
    IndexScans {
        index: String,
    },
    DeadRows {
        table: String,
    },
    /// In bytes.
    Size {
        table: String,
    },
    /// In ms.
    MeanTime {
        statement: i64,
        calls: u64,
    },
    Connections,
    /// A minute.
    Deadlocks,
    /// In bytes a minute.
    TempBytes,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    #[serde(flatten)]
    pub figure: Figure,
    /// None: it was not there, or not counted.
    pub before: Option<f64>,
    /// None: it is there no longer, or its counter began anew.
    pub during: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Factor>,
}

impl Comparison {
    /// Of what was found before the migration, at the soak's beginning and at its end.
    #[must_use]
    pub fn of(before: &Metrics, begin: &Metrics, end: &Metrics, limits: &BaselineLimits) -> Self {
        let counted = Counted::new(before, begin, end);
        let mut all: Vec<(Figure, Option<f64>, Option<f64>)> = Vec::new();
        for table in &end.tables {
            of_table(&counted, table, &mut all);
        }
        all.extend(of_statements(&counted));
        let connections = |m: &Metrics| Some(f64::from(m.connections));
        all.push((Figure::Connections, connections(before), connections(end)));
        for (figure, counter) in [
            (Figure::Deadlocks, (|m| m.deadlocks) as fn(&Metrics) -> u64),
            (Figure::TempBytes, |m| m.temp_bytes),
        ] {
            let (then, now) = counted.rates(Some(counter(before)), Some(counter(begin)), Some(counter(end)));
            all.push((figure, then, now));
        }
        let compared = |(figure, before, during)| {
            let at_most = limits.of(&figure);
            Compared { figure, before, during, at_most }
        };
        Self {
            before: counted.before,
            during: counted.during,
            notes: counted.notes(),
            figures: all.into_iter().map(compared).collect(),
        }
    }

    /// What is more than it may be.
    pub fn exceeding(&self) -> impl Iterator<Item = &Compared> {
        self.figures.iter().filter(|figure| figure.exceeds())
    }

    /// What is worth a look.
    pub fn outstanding(&self) -> impl Iterator<Item = &Compared> {
        self.figures.iter().filter(|figure| self.stands_out(figure))
    }

    /// Twice as much as before, anything beyond its limit, or an index that nobody uses any more.
    #[must_use]
    pub fn stands_out(&self, figure: &Compared) -> bool {
        match figure.figure {
            // In a short soak nobody may have come by.
            Figure::IndexScans { .. } => {
                let expected = figure.before.unwrap_or_default() * self.during.as_secs_f64() / 60.0;
                expected >= MOST_QUIET && figure.during.is_some_and(|now| now <= 0.0)
            }
            _ => figure.exceeds() || figure.is_more_than(2.0),
        }
    }
}

impl Compared {
    /// How many times as much; None where that is not known, or there was nothing.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let (before, during) = (self.before.filter(|before| *before > 0.0)?, self.during?);
        Some(during / before)
    }

    /// More than the limit allows, and enough of it to mean something.
    #[must_use]
    pub fn exceeds(&self) -> bool {
        self.at_most.is_some_and(|limit| self.is_more_than(limit.times()))
    }

    fn is_more_than(&self, times: f64) -> bool {
        let (Some(before), Some(during)) = (self.before, self.during) else { return false };
        during >= self.figure.least() && during > before * times
    }
}

impl Figure {
    /// Less than this is never too much, whatever there was before.
    fn least(&self) -> f64 {
        match self {
            // Of a handful of calls one that waited makes the mean.
            Self::MeanTime { calls, .. } if *calls < 20 => f64::INFINITY,
            Self::SeqScans { .. } | Self::MeanTime { .. } => 1.0,
            Self::IndexScans { .. } => 0.0,
            Self::DeadRows { .. } => 1_000.0,
            Self::Size { .. } => 8_000_000.0,
            Self::Connections => 10.0,
            Self::Deadlocks => 0.01,
            Self::TempBytes => 1_000_000.0,
        }
    }

    /// `0.2/min`, `77 MB`, `3.1 ms`.
    #[must_use]
    pub fn amount(&self, value: f64) -> String {
        match self {
            Self::SeqScans { .. } | Self::IndexScans { .. } | Self::Deadlocks => {
                format!("{}/min", number(value))
            }
            Self::DeadRows { .. } | Self::Connections => number(value),
            Self::Size { .. } => shown_size(value),
            Self::TempBytes => format!("{}/min", shown_size(value)),
            Self::MeanTime { .. } => format!("{} ms", number(value)),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |name: &str| name.strip_prefix("public.").unwrap_or(name).to_owned();
        match self {
            Self::SeqScans { table } => write!(f, "sequential scans of {}", short(table)),
            Self::IndexScans { index } => write!(f, "scans of {}", short(index)),
            Self::DeadRows { table } => write!(f, "dead rows in {}", short(table)),
            Self::Size { table } => write!(f, "size of {}", short(table)),
            Self::MeanTime { statement, .. } => write!(f, "mean time of statement {statement}"),
            Self::Connections => f.write_str("connections"),
            Self::Deadlocks => f.write_str("deadlocks"),
            Self::TempBytes => f.write_str("temporary files"),
        }
    }
}

impl fmt::Display for Compared {
    /// "sequential scans of users: 41/min, 2.0/min before (20x)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.figure)?;
        match self.during {
            Some(during) => f.write_str(&self.figure.amount(during))?,
            None => f.write_str("not known")?,
        }
        match self.before {
            Some(before) => write!(f, ", {} before", self.figure.amount(before))?,
            None => f.write_str(", nothing known of before")?,
        }
        match self.ratio().filter(|ratio| *ratio >= 1.05) {
            Some(ratio) => write!(f, " ({}x)", number(ratio)),
            None => Ok(()),
        }
    }
}

/// The three looks, and what of them can be compared.
struct Counted<'a> {
    looks: [&'a Metrics; 3],
    before: Option<Duration>,
    during: Duration,
    /// The counters began anew in the soak.
    reset: bool,
}

impl<'a> Counted<'a> {
    fn new(before: &'a Metrics, begin: &'a Metrics, end: &'a Metrics) -> Self {
        let counts_for = before.since.map(|since| span(since, before.at)).filter(|d| !d.is_zero());
        let during = span(begin.at, end.at);
        let reset = begin.since != end.since;
        Self { looks: [before, begin, end], before: counts_for, during, reset }
    }

    /// A minute: before the migration, and in the soak.
    fn rates(
        &self,
        looks0: Option<u64>,
        looks1: Option<u64>,
        looks2: Option<u64>,
    ) -> (Option<f64>, Option<f64>) {
        let before = looks0.zip(self.before).map(|(n, time)| a_minute(n, time));
        let grown = looks1.zip(looks2).and_then(|(from, to)| to.checked_sub(from));
        let grown = grown.filter(|_| !self.reset && !self.during.is_zero());
        (before, grown.map(|n| a_minute(n, self.during)))
    }

    fn notes(&self) -> Vec<String> {
        let [before, _, end] = self.looks;
        let mut notes = Vec::new();
        match before.since {
            None => notes.push("since when PostgreSQL counts is not known, so nothing is said of rates before".to_owned()),
            Some(since) if before.since_of_server => notes.push(format!(
                "the statistics were never reset: rates before are since the server's began, {}, and too low if the database is younger",
                since.strftime("%-d %b %Y")
            )),
            Some(_) => {}
        }
        if self.reset {
            notes.push("the statistics were reset in the soak: nothing is said of rates in it".to_owned());
        }
        for table in before.tables.iter().filter(|t| table_in(end, t.oid).is_none()) {
            notes.push(format!("{} is there no longer", table.table));
        }
        notes.extend(end.statements_note.clone());
        notes
    }
}

fn of_table(counted: &Counted<'_>, table: &TableMetrics, all: &mut Vec<(Figure, Option<f64>, Option<f64>)>) {
    let [before, begin, _] = counted.looks.map(|look| table_in(look, table.oid));
    let named = || table.table.clone();
    let scans = |t: &TableMetrics| t.seq_scans;
    let (then, now) = counted.rates(before.map(scans), begin.map(scans), Some(scans(table)));
    all.push((Figure::SeqScans { table: named() }, then, now));
    for index in &table.indexes {
        let of = |t: &TableMetrics| t.indexes.iter().find(|i| i.index == index.index).map(|i| i.scans);
        let (then, now) = counted.rates(before.and_then(of), begin.and_then(of), Some(index.scans));
        all.push((Figure::IndexScans { index: index.index.clone() }, then, now));
    }
    let state = |of: fn(&TableMetrics) -> u64| (before.map(|t| float(of(t))), Some(float(of(table))));
    let (then, now) = state(|t| t.dead_rows);
    all.push((Figure::DeadRows { table: named() }, then, now));
    let (then, now) = state(|t| t.bytes);
    all.push((Figure::Size { table: named() }, then, now));
}

/// Of those that ran in the soak, the ones that took most of it.
fn of_statements(counted: &Counted<'_>) -> Vec<(Figure, Option<f64>, Option<f64>)> {
    let [before, begin, end] = counted.looks;
    if begin.statements_since != end.statements_since {
        return Vec::new();
    }
    let find = |look: &Metrics, id| look.statements.iter().find(|s| s.id == id).copied();
    let in_soak = |last: &StatementMetrics| {
        // Where all are known, one that is not among them is new.
        let all_known = begin.statements.len() < usize::from(Metrics::MOST_STATEMENTS);
        let none = || StatementMetrics { id: last.id, calls: 0, took: Duration::ZERO };
        let first = find(begin, last.id).or_else(|| all_known.then(none))?;
        let calls = last.calls.checked_sub(first.calls).filter(|calls| *calls > 0)?;
        Some((last.id, calls, last.took.saturating_sub(first.took)))
    };
    let mut ran: Vec<_> = end.statements.iter().filter_map(in_soak).collect();
    ran.sort_by_key(|(_, _, took)| std::cmp::Reverse(*took));
    ran.truncate(MOST_STATEMENTS);
    let compared = |(statement, calls, took): (i64, u64, Duration)| {
        let before = find(before, statement).filter(|s| s.calls > 0);
        (
            Figure::MeanTime { statement, calls },
            before.map(|s| mean(s.took, s.calls)),
            Some(mean(took, calls)),
        )
    };
    ran.into_iter().map(compared).collect()
}

fn table_in(look: &Metrics, oid: u32) -> Option<&TableMetrics> {
    look.tables.iter().find(|table| table.oid == oid)
}

fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn a_minute(n: u64, time: Duration) -> f64 {
    float(n) * 60.0 / time.as_secs_f64()
}

fn mean(took: Duration, calls: u64) -> f64 {
    took.as_secs_f64() * 1_000.0 / float(calls)
}

#[expect(clippy::cast_precision_loss, reason = "compared and shown with two digits")]
fn float(n: u64) -> f64 {
    n as f64
}

/// `0`, `0.02`, `4.1`, `310`, `12,000`.
fn number(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "nothing that is counted is negative, and it is shown rounded"
    )]
    let whole = value.round() as u64;
    match value {
        v if v <= 0.0 => "0".to_owned(),
        v if v < 0.01 => "under 0.01".to_owned(),
        v if v < 1.0 => format!("{v:.2}"),
        v if v < 9.95 => format!("{v:.1}"),
        _ => grouped(whole),
    }
}

impl fmt::Display for Comparison {
    /// "in 24h 00m of the soak, beside 31d 4h before".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in {}", human(self.during))?;
        match self.before {
            Some(before) => write!(f, ", beside {} before", human(before)),
            None => Ok(()),
        }
    }
}
