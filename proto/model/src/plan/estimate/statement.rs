//! One statement: which source says how long it takes.

use std::time::Duration;

use super::answer::Answer;
use super::sampled::Copied;
use super::{Part, Spread, StatementEstimate, Subject, doing, in_millis, pace, past};
use crate::impact::StatementImpact;
use crate::migration::StatementSummary;
use crate::plan::measured::{MeasuredKind, size_of};
use crate::plan::rates::Rate;

pub(super) struct Statement<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) index: u32,
    pub(super) summary: &'a StatementSummary,
    pub(super) impact: Option<&'a StatementImpact>,
}

impl<'a> Statement<'a> {
    /// None where it takes next to nothing; an error says what is missing.
    pub(super) fn estimate(&self) -> Result<Option<Part<'a>>, String> {
        let kind = self.kind();
        if self.impact.is_none_or(|impact| impact.work.is_empty()) && !self.is_opaque() {
            return Ok(None);
        }
        let past = past::find(self.subject, self.index, kind, self.size(kind));
        if let Some(past) = past.filter(|past| past.is_firm) {
            return Ok(Some(self.seen(past)));
        }
        if let Some(answer) = self.by_rates(kind).or_else(|| self.by_sample()) {
            return Ok(Some(self.part(self.paced(answer, true), None)));
        }
        past.map(|past| Some(self.seen(past))).ok_or_else(|| self.missing())
    }

    /// What it took before has its pauses in it.
    fn seen(&self, past: past::Past<'a>) -> Part<'a> {
        self.part(self.paced(past.answer(self.subject), false), Some(past.measured))
    }

    fn kind(&self) -> MeasuredKind {
        MeasuredKind::of(self.impact.map_or(&[], |impact| &impact.work), self.summary.backfill.is_some())
    }

    fn size(&self, kind: MeasuredKind) -> (u64, u64) {
        size_of(self.impact, kind, self.subject.table_rows.unwrap_or(0))
    }

    /// What it does can't be seen from outside.
    fn is_opaque(&self) -> bool {
        const OPAQUE: [&str; 11] = [
            "DO", "CALL", "SELECT", "WITH", "COPY", "VACUUM", "REFRESH", "CLUSTER", "REINDEX", "EXECUTE",
            "ANALYZE",
        ];
        let word = self.summary.text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
        OPAQUE.iter().any(|opaque| opaque.eq_ignore_ascii_case(word))
    }

    fn by_rates(&self, kind: MeasuredKind) -> Option<Answer> {
        let impact = self.impact.filter(|impact| !impact.work.is_empty())?;
        let known = self.subject.known;
        if kind == MeasuredKind::Backfill
            && let Some(rate) = Rate::of(known, self.subject.database, kind, self.size(kind))
        {
            return Some(at_rates(&[(rate, self.size(kind))]));
        }
        let rate_of = |work: &crate::impact::Work| {
            let size = (work.rows, work.bytes);
            Some((Rate::of(known, self.subject.database, work.kind.into(), size)?, size))
        };
        let rates: Vec<_> = impact.work.iter().map(rate_of).collect::<Option<_>>()?;
        let answer = at_rates(&rates);
        Some(if kind == MeasuredKind::Backfill { pace::in_batches(answer) } else { answer })
    }

    fn by_sample(&self) -> Option<Answer> {
        let impact = self.impact?;
        let answer = Copied { impact, sample: impact.sample? }.answer(&self.summary.text)?;
        Some(if self.summary.backfill.is_some() { pace::in_batches(answer) } else { answer })
    }

    /// A backfill is no faster than it may be.
    fn paced(&self, answer: Answer, add_pauses: bool) -> Answer {
        let Some(directive) = &self.summary.backfill else { return answer };
        let known = self.subject.known;
        let mut throttle = known.person.or(directive).or(&known.stage);
        throttle.pause = throttle.pause.filter(|_| add_pauses);
        pace::bounded(answer, self.size(MeasuredKind::Backfill).0, &throttle)
    }

    fn part(&self, answer: Answer, past: Option<&'a crate::plan::Measurement>) -> Part<'a> {
        let estimate = StatementEstimate {
            index: self.index,
            duration: in_millis(answer.duration),
            spread: answer.spread.map(|s| Spread { low: in_millis(s.low), high: in_millis(s.high) }),
            basis: answer.basis,
        };
        Part { estimate, past }
    }

    fn missing(&self) -> String {
        let number = self.index + 1;
        match self.impact.filter(|impact| !impact.work.is_empty()) {
            Some(impact) => format!(
                "statement {number} {}: nothing of the kind was measured here, and it could not be tried on a sample",
                doing(impact)
            ),
            None => {
                format!(
                    "what statement {number} does can't be seen from outside, and no earlier stage has measured it"
                )
            }
        }
    }
}

/// The times of several kinds of work after one another.
fn at_rates(rates: &[(Rate, (u64, u64))]) -> Answer {
    let (mut duration, mut spread) = (Duration::ZERO, Spread { low: Duration::ZERO, high: Duration::ZERO });
    let mut basis: Vec<String> = Vec::new();
    for (rate, size) in rates {
        let [slow, median, fast] = rate.time(*size);
        duration += median;
        spread = Spread { low: spread.low + fast, high: spread.high + slow };
        if !basis.contains(&rate.basis()) {
            basis.push(rate.basis());
        }
    }
    let spread = rates.iter().any(|(rate, _)| rate.has_spread()).then_some(spread);
    Answer { duration, spread, basis: basis.join("; ") }
}
