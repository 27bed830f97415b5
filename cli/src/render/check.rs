//! The results of checks: what was expected, and what was seen.

use stopover_model::report::{CheckResult, VerifyReport};

use super::line::{Line, Tone};

/// One check on one line where it held; with expectation and observation where it did not.
#[must_use]
pub fn lines(check: &CheckResult) -> Vec<Line> {
    let mut lines = if check.passed {
        vec![Line::of(Tone::Good, "✓ ").plain(&check.name).dim("  ").dim(&check.observed)]
    } else if check.unanswered {
        vec![
            Line::of(Tone::Warn, "? ").strong(&check.name),
            Line::new().dim("    could not be asked: ").with(Tone::Warn, &check.observed),
        ]
    } else {
        vec![
            Line::of(Tone::Bad, "✗ ").strong(&check.name),
            Line::new().dim("    expected  ").plain(&check.expected),
            Line::new().dim("    observed  ").with(Tone::Bad, &check.observed),
        ]
    };
    if let Some(note) = &check.note {
        lines.push(Line::new().dim("    note  ").with(Tone::Warn, note));
    }
    lines
}

/// `5 of 5 checks hold`.
#[must_use]
pub fn summary(report: &VerifyReport) -> Line {
    let (held, all) = (report.checks.iter().filter(|c| c.passed).count(), report.checks.len());
    let silent = report.checks.iter().filter(|c| c.unanswered).count();
    match (held, all) {
        _ if silent > 0 && held + silent == all => {
            Line::of(Tone::Warn, format!("{silent} of {all} checks could not be asked"))
        }
        (_, 0) => Line::new().dim("no checks"),
        (1, 1) => Line::new().plain("1 check holds"),
        _ if held == all => Line::new().plain(format!("{all} checks hold")),
        _ if all - held == 1 => Line::of(Tone::Bad, format!("1 of {all} checks does not hold")),
        _ => Line::of(Tone::Bad, format!("{} of {all} checks do not hold", all - held)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::line::text;
    use super::*;

    fn check(passed: bool, note: Option<&str>) -> CheckResult {
        CheckResult {
            name: "every existing user is complete".into(),
            passed,
            unanswered: false,
            expected: "0".into(),
            observed: if passed { "0".into() } else { "3\u{1b}[0m".into() },
            note: note.map(str::to_owned),
            took: Duration::from_millis(3),
        }
    }

    #[test]
    fn a_check_that_failed_shows_both_sides_one_under_the_other() {
        insta::assert_snapshot!(text(&lines(&check(false, None))), @r#"
        ✗ every existing user is complete
            expected  0
            observed  3\u{1b}[0m
        "#);
        insta::assert_snapshot!(text(&lines(&check(true, Some("the table is so small that the planner reads it whole")))), @r#"
        ✓ every existing user is complete  0
            note  the table is so small that the planner reads it whole
        "#);
    }

    #[test]
    fn the_summary_counts_what_matters() {
        let report =
            |results: &[bool]| VerifyReport { checks: results.iter().map(|r| check(*r, None)).collect() };
        let shown = [&[][..], &[true], &[true, true], &[true, false, false]]
            .map(|r| summary(&report(r)).paint(false));
        assert_eq!(shown, ["no checks", "1 check holds", "2 checks hold", "2 of 3 checks do not hold"]);
    }
}
