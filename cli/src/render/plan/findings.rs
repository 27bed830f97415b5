//! What the linter found in the scripts that would run, each finding once.

use stopover_lint::Severity;
use stopover_model::id::EnvironmentName;
use stopover_model::pipeline::LintSettings;

use super::super::error::place_lines;
use super::super::line::{Line, Tone};
use super::super::number::count;
use super::super::{View, lint};
use super::labelled;
use crate::answer::{FindingAnswer, LintAnswer, PlanResult, StagePlan, TargetAnswer};

/// Every finding with the stages that mind it, and the way out written out.
#[must_use]
pub fn lines(found: &LintAnswer, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    for finding in &found.findings {
        lines.push(Line::new());
        lines.extend(finding_lines(finding, view.width));
    }
    if !found.unread.is_empty() {
        lines.push(Line::new());
        lines.extend(lint::unread_lines(&found.unread, view.width));
        lines.pop();
    }
    if found.ignored > 0 {
        let ignored = count(u64::from(found.ignored), "finding");
        lines.push(Line::new());
        lines.push(Line::new().dim(format!("{ignored} of the linter's ignored by comments in the SQL")));
    }
    lines
}

/// How much of it is found in what would run in a database.
#[must_use]
pub fn of_target(found: &LintAnswer, stage: &StagePlan, target: &TargetAnswer, view: View) -> Vec<Line> {
    let PlanResult::Plan(plan) = &target.result else { return Vec::new() };
    let scripts = plan.scripts();
    let here = || found.findings.iter().filter(|f| scripts.contains(&(&f.migration, f.script)));
    let number = |stages: fn(&FindingAnswer) -> &[EnvironmentName]| {
        here().filter(|f| stages(f).contains(&stage.environment)).count() as u64
    };
    let (refused, warned) = (number(|f| &f.refuse), number(|f| &f.warn));
    let mut line = Line::new();
    if refused > 0 {
        line = line.with(Tone::Bad, format!("refused for {}", count(refused, "finding")));
    }
    if warned > 0 {
        let and = if refused > 0 { ", " } else { "" };
        line = line.plain(and).with(Tone::Warn, count(warned, "warning"));
    }
    if line.is_empty() { Vec::new() } else { labelled("lint", &line.dim(", below"), view) }
}

fn finding_lines(finding: &FindingAnswer, width: usize) -> Vec<Line> {
    let severity = if finding.refuse.is_empty() { Severity::Warn } else { Severity::Refuse };
    let mut lines = lint::head(severity, &finding.rule, &finding.message, width);
    lines.extend(place_lines(&finding.place, width));
    let mut stages = Line::of(Tone::Busy, "in: ");
    for (severity, names, word) in
        [(Severity::Refuse, &finding.refuse, "refused"), (Severity::Warn, &finding.warn, "warning")]
    {
        for name in names {
            let comma = if stages.width() > 4 { ", " } else { "" };
            stages = stages
                .plain(comma)
                .plain(name.as_str())
                .plain(" (")
                .with(lint::tone(severity), word)
                .plain(")");
        }
    }
    lines.extend(stages.wrapped(width, 4));
    let (help, note) = (finding.help.as_deref(), finding.note.as_deref());
    lines.extend(lint::ways_out(help, note, finding.rewrite.as_ref(), finding.url.as_deref(), width));
    lines
}

/// "refuses all; allows ban-drop-table"; None where nothing was said.
#[must_use]
pub fn settings(lint: &LintSettings) -> Option<String> {
    let said = lint.lists().into_iter().rev().filter(|(_, names)| !names.is_empty());
    let said: Vec<_> = said
        .map(|(key, names)| {
            let verb = match key {
                "allow" => "allows",
                "warn" => "warns of",
                _ => "refuses",
            };
            format!("{verb} {}", names.join(", "))
        })
        .collect();
    (!said.is_empty()).then(|| said.join("; "))
}
