//! Looks at scripts, one after the other, and says what is wanted of what was found.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::catalogue::Concern;
use crate::deep;
use crate::finding::{Finding, Place, Report, Unread};
use crate::ignore::Ignores;
use crate::known::{self, Known};
use crate::raw::Raw;
use crate::reading::Reading;
use crate::rules;
use crate::script::{Role, ScriptToLint};
use crate::severity::{Severities, Severity};
use crate::squawk;

/// Looks at scripts in the order in which they run. What one script tells of a table serves for those behind it, though
/// never to find less than in each alone because a table is empty: nobody knows here which of them ran long ago.
#[must_use]
pub fn lint(scripts: &[ScriptToLint<'_>], severities: &Severities) -> Report {
    deep::run(|| lint_here(scripts, severities))
}

fn lint_here(scripts: &[ScriptToLint<'_>], severities: &Severities) -> Report {
    let mut walk = Walk { known: Known::default(), up: None, learned: None, report: Report::default() };
    for script in scripts {
        // A fault of the linter's own is no reason to keep quiet of the scripts beside.
        let looked = catch_unwind(AssertUnwindSafe(|| walk.visit(script, severities)));
        if looked.is_err() && !script.is_context {
            let why = "the linter fell over it, which is a fault of its own".to_owned();
            let line = script.script.line_in_file(1);
            walk.report.unread.push(Unread { file: script.file.clone(), line, why });
        }
    }
    walk.report
}

/// From script to script.
struct Walk<'a> {
    known: Known,
    /// The way there that was seen last; it is known of as soon as something comes behind it.
    up: Option<Reading<'a>>,
    /// And once it is.
    learned: Option<Reading<'a>>,
    report: Report,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, script: &'a ScriptToLint<'a>, severities: &Severities) {
        if script.is_context && script.role != Role::Up {
            // Of what is there only the way there tells.
            return;
        }
        let reading = Reading::of(script);
        let report = &mut self.report;
        match script.role {
            Role::Up => {
                if let Some(before) = self.up.take() {
                    self.known.learn(&before);
                }
                look(&reading, None, &self.known, severities, report);
                self.up = Some(reading);
            }
            Role::Batched => look(&reading, None, &self.known, severities, report),
            Role::Down => {
                // What comes behind it finds what the way there did, as it does itself.
                if let Some(before) = self.up.take() {
                    self.known.learn(&before);
                    self.learned = Some(before);
                }
                let way_there = self.learned.as_ref().filter(|r| r.source.migration == script.migration);
                look(&reading, way_there, &self.known, severities, report);
            }
        }
    }
}

fn look(
    reading: &Reading<'_>,
    up: Option<&Reading<'_>>,
    known: &Known,
    severities: &Severities,
    report: &mut Report,
) {
    if reading.source.is_context {
        return;
    }
    let mut found = squawk::findings(reading, severities);
    if rules::squawks_not_null().is_some_and(|rule| severities.of(rule) != Severity::Allow) {
        rules::settle_not_null(reading, known.constraints(), &mut found);
    }
    found.extend(rules::findings(reading, up));
    let (ignores, wrong) = Ignores::of(reading);
    found.retain(|raw| matters(reading, raw));
    found.extend(wrong);
    found.retain(|raw| severities.of(raw.rule) != Severity::Allow);
    let before = found.len();
    found.retain(|raw| !ignores.covers(reading, raw));
    report.ignored += before - found.len();
    drop_repetitions(&mut found, severities);
    found.sort_by_key(|raw| (raw.range.start, raw.rule));
    let lines = Lines::of(reading);
    for mut raw in found {
        raw.note = note(reading, known, &raw).or(raw.note);
        report.findings.push(lines.finding(raw, severities));
    }
    let unread = reading.unread.iter().map(|(index, why)| Unread {
        file: reading.source.file.clone(),
        line: lines.place(reading.statements[*index].at.start).line,
        why: why.clone(),
    });
    report.unread.extend(unread);
}

/// Whether whom the rule concerns is there.
fn matters(reading: &Reading<'_>, raw: &Raw) -> bool {
    let concern = raw.rule.concern();
    if reading.role() == Role::Down && matches!(concern, Concern::Clients | Concern::Style) {
        return false;
    }
    if !matches!(concern, Concern::Rows | Concern::Clients) {
        return true;
    }
    let Some(index) = reading.statement_at(&raw.range) else { return true };
    if concern == Concern::Clients && known::is_of_new_column(reading, index, &raw.range) {
        return false;
    }
    let tables = reading.statements[index].tables();
    tables.is_empty() || !tables.iter().all(|table| known::is_new(reading, index, table))
}

/// What may make it matter less, and nobody here can tell.
fn note(reading: &Reading<'_>, known: &Known, raw: &Raw) -> Option<String> {
    if raw.rule.concern() != Concern::Rows || reading.role() == Role::Down {
        return None;
    }
    let index = reading.statement_at(&raw.range)?;
    let table = reading.statements[index].tables().into_iter().next()?;
    let by = known.created_by(table).filter(|by| *by != reading.source.migration)?;
    Some(format!("{table} is created by {by}: where both are applied in one go, it is still empty then"))
}

/// squawk says of a foreign key and of a unique or primary key both what it is and that it is a constraint; the former is
/// enough, and has the better advice.
fn drop_repetitions(found: &mut Vec<Raw>, severities: &Severities) {
    const GENERAL: &str = "constraint-missing-not-valid";
    const PARTICULAR: [&str; 3] =
        ["adding-foreign-key-constraint", "disallowed-unique-constraint", "adding-serial-primary-key-field"];
    let particular: Vec<(Range<usize>, Severity)> = found
        .iter()
        .filter(|raw| PARTICULAR.contains(&raw.rule.name()))
        .map(|raw| (raw.range.clone(), severities.of(raw.rule)))
        .collect();
    found.retain(|raw| {
        let said = |(range, severity): &(Range<usize>, Severity)| {
            raw.range.contains(&range.start) && *severity >= severities.of(raw.rule)
        };
        raw.rule.name() != GENERAL || !particular.iter().any(said)
    });
}

/// From offsets to lines of the file.
struct Lines<'a> {
    reading: &'a Reading<'a>,
    /// Where each line begins.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(reading: &'a Reading<'a>) -> Self {
        let starts =
            std::iter::once(0).chain(reading.text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { reading, starts }
    }

    fn place(&self, offset: usize) -> Place {
        let index = self.starts.partition_point(|start| *start <= offset) - 1;
        let before = self.reading.text[self.starts[index]..offset].chars().count();
        let number = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
        Place { line: self.reading.source.script.line_in_file(number(index)), column: number(before) }
    }

    fn text_of_line(&self, offset: usize) -> &'a str {
        let index = self.starts.partition_point(|start| *start <= offset) - 1;
        let line = &self.reading.text[self.starts[index]..];
        line.split('\n').next().unwrap_or(line).trim_end_matches('\r')
    }

    fn finding(&self, raw: Raw, severities: &Severities) -> Finding {
        Finding {
            migration: self.reading.source.migration.to_owned(),
            role: self.reading.role(),
            file: self.reading.source.file.clone(),
            start: self.place(raw.range.start),
            end: self.place(raw.range.end),
            line_text: self.text_of_line(raw.range.start).to_owned(),
            rule: raw.rule,
            severity: severities.of(raw.rule),
            message: raw.message,
            help: raw.help,
            note: raw.note,
            rewrite: raw.rewrite,
        }
    }
}

#[cfg(test)]
mod tests;
