//! The linter's findings for programs. The keys are a promise: none is renamed or dropped.

use serde::Serialize;
use stopover_lint::{Finding, Place, Report, Rewrite, Rule, Severities, Severity, Unread};

#[derive(Debug, Serialize)]
pub struct ReportView<'a> {
    findings: Vec<FindingView<'a>>,
    unread: &'a [Unread],
    ignored: usize,
    warned: usize,
    refused: usize,
    scripts: usize,
}

#[derive(Debug, Serialize)]
struct FindingView<'a> {
    file: &'a str,
    #[serde(flatten)]
    start: Place,
    end: Place,
    rule: Rule,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    severity: Severity,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rewrite: Option<&'a Rewrite>,
}

#[derive(Debug, Serialize)]
pub struct RulesView {
    rules: Vec<RuleView>,
}

#[derive(Debug, Serialize)]
struct RuleView {
    rule: Rule,
    severity: Severity,
    finds: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    off_because: Option<&'static str>,
}

#[must_use]
pub fn report(report: &Report, scripts: usize) -> ReportView<'_> {
    ReportView {
        findings: report.findings.iter().map(finding).collect(),
        unread: &report.unread,
        ignored: report.ignored,
        warned: report.count(Severity::Warn),
        refused: report.count(Severity::Refuse),
        scripts,
    }
}

#[must_use]
pub fn rules(severities: &Severities) -> RulesView {
    let view = |rule: Rule| {
        let severity = severities.of(rule);
        let off_because = rule.off_because().filter(|_| severity == Severity::Allow);
        RuleView { rule, severity, finds: rule.finds(), url: rule.url(), off_because }
    };
    RulesView { rules: Rule::all().map(view).collect() }
}

fn finding(finding: &Finding) -> FindingView<'_> {
    FindingView {
        file: &finding.file,
        start: finding.start,
        end: finding.end,
        rule: finding.rule,
        url: finding.rule.url(),
        severity: finding.severity,
        message: &finding.message,
        help: finding.help.as_deref(),
        note: finding.note.as_deref(),
        rewrite: finding.rewrite.as_ref(),
    }
}
