//! Findings as a GitHub workflow's annotations, which its web pages show beside the lines of SQL.

use stopover_lint::{Finding, Report, Severity};

/// One command a line; what GitHub would take for its own syntax is escaped.
#[must_use]
pub fn lines(report: &Report) -> Vec<String> {
    report.findings.iter().map(line).collect()
}

fn line(finding: &Finding) -> String {
    let command = if finding.severity == Severity::Refuse { "error" } else { "warning" };
    let mut text = finding.message.clone();
    let more =
        [finding.help.as_deref(), finding.note.as_deref(), finding.rewrite.as_ref().map(|r| r.sql.as_str())];
    for part in more.into_iter().flatten() {
        text.push_str("\n\n");
        text.push_str(part);
    }
    text.extend(finding.rule.url().map(|url| format!("\n\n{url}")));
    format!(
        "::{command} file={},line={},col={},endLine={},endColumn={},title={}::{}",
        property(&finding.file),
        finding.start.line,
        finding.start.column,
        finding.end.line,
        finding.end.column,
        property(finding.rule.name()),
        data(&text)
    )
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
