//! What the same statement took before: in an earlier database of this deployment, or in an earlier deployment.

use std::cmp::Reverse;

use super::{Subject, in_millis, rehearsed_at};
use crate::plan::grouped;
use crate::plan::measured::{Known, LEAST_TIME, MeasuredKind, Measurement, Unit};
use crate::plan::rates::{as_f64, seconds};

use super::answer::Answer;

/// How many times as much work as was measured a measurement of very little may speak for.
const FAR: f64 = 100.0;

#[derive(Clone, Copy)]
pub(super) struct Past<'a> {
    pub(super) measured: &'a Measurement,
    /// How many times its work there is now.
    factor: f64,
    /// It is not so small beside what is to be done that the fixed part of it decides.
    pub(super) is_firm: bool,
}

/// The measurement of the same statement whose work was nearest in size; the newest of those.
pub(super) fn find<'a>(
    subject: &Subject<'a>,
    statement: u32,
    kind: MeasuredKind,
    size: (u64, u64),
) -> Option<Past<'a>> {
    let known: &'a Known<'a> = subject.known;
    let same = |m: &&'a Measurement| {
        m.digest == subject.migration.digest
            && m.variant == subject.variant
            && m.statement == statement
            && (m.kind != MeasuredKind::Rehearsed || is_of(m, subject))
    };
    let candidates = known.own.iter().chain(known.history).filter(same);
    let pasts = candidates.map(|measured| {
        let factor = factor(measured, kind, size);
        let is_firm = measured.took >= LEAST_TIME || factor <= FAR;
        Past { measured, factor, is_firm }
    });
    let away = |past: &Past<'_>| past.factor.ln().abs();
    let mut pasts: Vec<_> = pasts.collect();
    // A rehearsal was of this very database, and shortly before most likely.
    let is_other = |past: &Past<'_>| past.measured.kind != MeasuredKind::Rehearsed;
    pasts.sort_by(|a, b| {
        is_other(a)
            .cmp(&is_other(b))
            .then(away(a).total_cmp(&away(b)))
            .then(Reverse(a.measured.at).cmp(&Reverse(b.measured.at)))
    });
    pasts.first().copied()
}

/// Whether it was measured for, or in, the database that is planned for.
fn is_of(measured: &Measurement, subject: &Subject<'_>) -> bool {
    measured.environment.as_str() == subject.known.environment && measured.database == *subject.database
}

impl Past<'_> {
    pub(super) fn answer(&self, subject: &Subject<'_>) -> Answer {
        let m = self.measured;
        let took = crate::duration::human(in_millis(m.took));
        let what = if m.rows > 0 { format!("{} rows", grouped(m.rows)) } else { "it".to_owned() };
        let place = if m.kind == MeasuredKind::Rehearsed {
            rehearsed_at(m)
        } else if m.environment.as_str() != subject.known.environment {
            format!("in {}", m.environment)
        } else if m.database != *subject.database {
            format!("in {}", m.database)
        } else {
            format!("here on {}", m.at.strftime("%Y-%m-%d"))
        };
        let duration = seconds(m.took.as_secs_f64() * self.factor);
        Answer { duration, spread: None, basis: format!("{what} took {took} {place}") }
    }
}

/// Where nothing is known of the work, it is taken to be the same.
fn factor(measured: &Measurement, kind: MeasuredKind, (rows, bytes): (u64, u64)) -> f64 {
    let ratio = |now: u64, then: u64| (now > 0 && then > 0).then(|| (as_f64(now) / as_f64(then)).max(0.01));
    let same_unit = Unit::of(kind, bytes) == Unit::of(measured.kind, measured.bytes);
    let by_bytes = ratio(bytes, measured.bytes).filter(|_| same_unit && Unit::of(kind, bytes) == Unit::Bytes);
    by_bytes.or_else(|| ratio(rows, measured.rows)).unwrap_or(1.0)
}
