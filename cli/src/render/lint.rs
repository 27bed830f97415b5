//! What the linter found, for people; for programs and for GitHub below.

pub mod github;
pub mod json;
mod sql;

use stopover_lint::{Finding, Report, Rewrite, Rule, Severities, Severity, Unread};
use stopover_model::report::SqlPlace;

use super::error::place_lines;
use super::line::{Line, Tone};

/// Wider, and nobody reads it well.
const WIDEST: usize = 80;

/// Every finding, and at the end how many there are in so many scripts.
#[must_use]
pub fn lines(report: &Report, scripts: usize, width: usize) -> Vec<Line> {
    let width = width.min(WIDEST);
    let mut lines = Vec::new();
    for finding in &report.findings {
        lines.extend(finding_lines(finding, width));
        lines.push(Line::new());
    }
    lines.extend(unread_lines(&report.unread, width));
    lines.extend(summary(report, scripts).wrapped(width, 2));
    lines
}

/// Every rule, ours first.
#[must_use]
pub fn rules(severities: &Severities, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for rule in Rule::all() {
        let severity = severities.of(rule);
        let tone = if severity == Severity::Allow { Tone::Dim } else { tone(severity) };
        lines.push(Line::of(tone, format!("{severity:<8}")).strong(rule.name()));
        let why = rule.off_because().filter(|_| severity == Severity::Allow);
        let why = why.map(|why| format!(" (off: {why})")).unwrap_or_default();
        let text = Line::new().plain(rule.finds()).dim(why).indented(8);
        lines.extend(text.wrapped(width.min(WIDEST), 8));
    }
    lines
}

fn finding_lines(finding: &Finding, width: usize) -> Vec<Line> {
    let mut lines = head(finding.severity, finding.rule.name(), &finding.message, width);
    let place = SqlPlace {
        file: finding.file.clone(),
        line: finding.start.line,
        column: finding.start.column,
        text: finding.line_text.clone(),
    };
    lines.extend(place_lines(&place, width));
    let (help, note) = (finding.help.as_deref(), finding.note.as_deref());
    lines.extend(ways_out(help, note, finding.rewrite.as_ref(), finding.rule.url().as_deref(), width));
    lines
}

/// `warning[rule]: what is wrong`
pub(super) fn head(severity: Severity, rule: &str, message: &str, width: usize) -> Vec<Line> {
    let word = match severity {
        Severity::Refuse => "refused",
        _ => "warning",
    };
    Line::of(tone(severity), format!("{word}[{rule}]: ")).plain(message).wrapped(width, 2)
}

/// What to do about it, and where to read more.
pub(super) fn ways_out(
    help: Option<&str>,
    note: Option<&str>,
    rewrite: Option<&Rewrite>,
    url: Option<&str>,
    width: usize,
) -> Vec<Line> {
    let mut lines = Vec::new();
    for (label, text) in [("help: ", help), ("note: ", note)] {
        let text = text.map(|text| Line::of(Tone::Busy, label).plain(text).wrapped(width, 6));
        lines.extend(text.into_iter().flatten());
    }
    if let Some(rewrite) = rewrite {
        lines.extend(Line::of(Tone::Busy, "sql: ").plain(&rewrite.title).plain(":").wrapped(width, 6));
        lines.extend(sql::lines(&rewrite.sql, width));
    }
    lines.extend(url.map(|url| Line::new().dim(format!("see {url}"))));
    lines
}

pub(super) fn unread_lines(unread: &[Unread], width: usize) -> Vec<Line> {
    if unread.is_empty() {
        return Vec::new();
    }
    let head = "Not looked at in full; PostgreSQL is the judge of their syntax:";
    let mut lines = Line::new().dim(head).wrapped(width, 2);
    for one in unread {
        lines.extend(Line::new().dim(format!("  {}:{}: {}", one.file, one.line, one.why)).wrapped(width, 4));
    }
    lines.push(Line::new());
    lines
}

fn summary(report: &Report, scripts: usize) -> Line {
    let counted = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let (refused, warned) = (report.count(Severity::Refuse), report.count(Severity::Warn));
    let scripts = counted(scripts, "script", "scripts");
    let line = if refused + warned == 0 {
        Line::of(Tone::Good, "nothing found").plain(format!(" in {scripts}"))
    } else {
        let mut parts = Vec::new();
        if refused > 0 {
            parts.push(format!("{refused} refused"));
        }
        if warned > 0 {
            parts.push(counted(warned, "warning", "warnings"));
        }
        let tone = tone(if refused > 0 { Severity::Refuse } else { Severity::Warn });
        Line::of(tone, parts.join(", ")).plain(format!(" in {scripts}"))
    };
    if report.ignored == 0 { line } else { line.dim(format!("; {} ignored by comments", report.ignored)) }
}

pub(super) fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Refuse => Tone::Bad,
        Severity::Warn => Tone::Warn,
        Severity::Allow => Tone::Dim,
    }
}

#[cfg(test)]
mod tests;
