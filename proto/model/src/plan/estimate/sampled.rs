//! From a part of the rows, tried on a copy, to all of them.

use super::answer::Answer;
use crate::duration::human;
use crate::impact::{Sample, StatementImpact, WorkKind};
use crate::plan::grouped;
use crate::plan::measured::main_work;
use crate::plan::rates::{as_f64, seconds};

/// A build beside writers reads the table twice, and waits for those who were there before.
const CONCURRENT_BUILD: f64 = 2.0;

/// What a statement took on a copy of a few rows.
pub(super) struct Copied<'a> {
    pub(super) impact: &'a StatementImpact,
    pub(super) sample: Sample,
}

impl Copied<'_> {
    /// None where the sample says nothing of the work.
    pub(super) fn answer(&self, text: &str) -> Option<Answer> {
        let Sample { rows, took, fixed } = self.sample;
        let work = main_work(&self.impact.work)?;
        if rows == 0 {
            return None;
        }
        let mut scale = as_f64(work.rows) / as_f64(rows);
        if work.kind == WorkKind::BuildIndex {
            // Building sorts.
            scale *= (as_f64(work.rows.max(2)).ln() / as_f64(rows.max(2)).ln()).max(1.0);
        }
        let mut basis = format!(
            "{} of {} rows took {} in a sample that was rolled back",
            grouped(rows.min(work.rows)),
            grouped(work.rows),
            human(took)
        );
        let mut grows = took.saturating_sub(fixed).as_secs_f64() * scale;
        if is_concurrent(text) {
            grows *= CONCURRENT_BUILD;
            basis += ", twice that for CONCURRENTLY";
        }
        match self.impact.triggers.len() {
            0 => {}
            1 => basis += ", without the trigger that fires",
            n => basis = format!("{basis}, without the {n} triggers that fire"),
        }
        Some(Answer { duration: seconds(fixed.as_secs_f64() + grows), spread: None, basis })
    }
}

fn is_concurrent(text: &str) -> bool {
    let words = text.split_whitespace().take(4).map(str::to_ascii_uppercase);
    words.collect::<Vec<_>>().windows(2).any(|two| two[0] == "INDEX" && two[1] == "CONCURRENTLY")
}
