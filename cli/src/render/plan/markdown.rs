//! A plan as Markdown, for a comment on a merge request: a table of what runs where, and the whole of it folded away.
//!
//! Only what GitHub and GitLab both show: tables, `<details>`, fences. What comes from databases and files stays text.

use stopover_model::plan::{Action, MigrationPlan, TargetPlan};

use super::super::View;
use super::super::line::{Line, text};
use super::alike::{self, Alike};
use super::lines;
use crate::answer::{PlanAnswer, PlanResult, StagePlan, TargetAnswer};

/// So many rows a stage has; databases in which the same happens share one.
const MOST_ROWS: usize = 20;
/// As wide as a comment is.
const WIDTH: usize = 100;

/// The whole comment.
#[must_use]
pub fn markdown(answer: &PlanAnswer, view: View) -> String {
    let ids: Vec<_> = answer.migrations.iter().map(|m| format!("`{}`", m.id)).collect();
    let verdict = if answer.is_refused() { "**refused**: see below" } else { "can be deployed" };
    let rows: Vec<_> = answer.stages.iter().flat_map(|stage| rows(stage, view)).collect();
    let whole = text(&lines(answer, View { width: WIDTH, ..view }));
    let fence = fence(&whole);
    format!(
        "### Plan of {}\n\nThrough the pipeline `{}`: {verdict}.\n\n\
         | environment | database | what happens |\n|---|---|---|\n{}\n\n\
         <details><summary>The whole plan</summary>\n\n{fence}text\n{whole}{fence}\n\n</details>\n\nDigest `{}`\n",
        ids.join(", "),
        answer.pipeline.name,
        rows.join("\n"),
        answer.digest
    )
}

fn rows(stage: &StagePlan, view: View) -> Vec<String> {
    let environment = &stage.environment;
    let unavailable = stage.unavailable.as_ref().map(|why| format!("| {environment} | | {} |", cell(why)));
    // Those that are refused come first: they are what has to be looked at.
    let what = |target: &TargetAnswer, _: View| vec![Line::new().plain(happens(target))];
    let mut groups = alike::groups(&stage.targets, view, what);
    groups.sort_by_key(|alike| alike.example().and_then(refusal).is_none());
    let row = |alike: &Alike<'_>| {
        let target = alike.example()?;
        let who = if alike.is_group() {
            format!("{}: {}", alike.number(), alike.names())
        } else {
            target.database.to_string()
        };
        Some(format!("| {environment} | {who} | {} |", happens(target)))
    };
    let shown = groups.iter().take(MOST_ROWS);
    let more: usize = groups.iter().skip(MOST_ROWS).map(|alike| alike.targets.len()).sum();
    let rest = (more > 0).then(|| format!("| {environment} | and {more} more | see the whole plan |"));
    unavailable.into_iter().chain(shown.filter_map(row)).chain(rest).collect()
}

fn refusal(target: &TargetAnswer) -> Option<&str> {
    match (&target.result, &target.lint_refusal) {
        (PlanResult::Refused(error), _) | (_, Some(error)) => Some(&error.message),
        _ => None,
    }
}

fn happens(target: &TargetAnswer) -> String {
    match (refusal(target), &target.result) {
        (Some(why), _) => format!("**refused**: {}", cell(why)),
        (None, PlanResult::Plan(plan)) => runs(plan),
        (None, PlanResult::Refused(_)) => String::new(),
    }
}

fn runs(plan: &TargetPlan) -> String {
    let run = |m: &MigrationPlan| match &m.action {
        Action::Apply { variant, .. } => {
            Some(format!("`{}` of `{}`: {}", variant.file(), m.id, cell(&m.reason)))
        }
        Action::Skip => None,
    };
    let all: Vec<_> = plan.migrations.iter().filter_map(run).collect();
    if all.is_empty() { "nothing: it is there already".to_owned() } else { all.join("<br>") }
}

/// What stands in a cell can neither end it nor become anything else than text.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' | '~' | '!' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Longer than any row of backticks inside.
fn fence(inside: &str) -> String {
    let longest = inside.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(3.max(longest + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_elsewhere_stays_text() {
        assert_eq!(cell("a|b <script> @team\n`x`"), "a\\|b &lt;script&gt; &#64;team \\`x\\`");
        assert_eq!(fence("a ```` b"), "`````");
        assert_eq!(fence("plain"), "```");
    }
}
