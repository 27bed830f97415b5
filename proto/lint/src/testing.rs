//! SQL for the tests of rules.

use stopover_model::migration::{Reading as HowToRead, Script};

use crate::finding::Report;
use crate::reading::Reading;
use crate::rule::Rule;
use crate::script::{Role, ScriptToLint};
use crate::severity::Severities;

/// A script, and what runs before it.
#[derive(Clone, Copy)]
pub(crate) struct Sql<'a> {
    pub(crate) text: &'a str,
    pub(crate) up: Option<&'a str>,
    pub(crate) before: &'a [&'a str],
    pub(crate) rerun_is_safe: bool,
    pub(crate) saves: bool,
    pub(crate) how: HowToRead,
}

impl<'a> Sql<'a> {
    pub(crate) fn up(text: &'a str) -> Self {
        let how = HowToRead { must_do_something: false, ..HowToRead::default() };
        Self { text, up: None, before: &[], rerun_is_safe: false, saves: true, how }
    }

    pub(crate) fn down(up: &'a str, text: &'a str) -> Self {
        Self { up: Some(up), ..Self::up(text) }
    }
}

fn script(text: &str, how: HowToRead) -> Script {
    Script::parse_as(text.as_bytes(), how).unwrap()
}

fn to_lint<'a>(script: &'a Script, migration: &'a str, role: Role, rerun_is_safe: bool) -> ScriptToLint<'a> {
    ScriptToLint {
        file: format!("{migration}.sql"),
        migration,
        script,
        role,
        rerun_is_safe,
        saves: true,
        is_context: false,
    }
}

pub(crate) fn reading(sql: Sql<'_>, look: impl FnOnce(&Reading<'_>)) {
    let script = script(sql.text, sql.how);
    look(&Reading::of(&to_lint(&script, "it", Role::Up, sql.rerun_is_safe)));
}

/// What is found in the script, and in none of those before.
pub(crate) fn lint_with(sql: Sql<'_>, severities: &Severities) -> Report {
    let before: Vec<_> = sql.before.iter().map(|text| script(text, sql.how)).collect();
    let up = sql.up.map(|text| script(text, sql.how));
    let it = script(sql.text, sql.how);
    let names: Vec<_> = (1..=before.len()).map(|n| format!("before_{n}")).collect();
    let mut scripts: Vec<_> =
        before.iter().zip(&names).map(|(s, name)| to_lint(s, name, Role::Up, true)).collect();
    scripts.extend(
        up.as_ref().map(|s| ScriptToLint { file: "up.sql".into(), ..to_lint(s, "it", Role::Up, true) }),
    );
    let role = if up.is_some() { Role::Down } else { Role::Up };
    scripts.push(ScriptToLint { saves: sql.saves, ..to_lint(&it, "it", role, sql.rerun_is_safe) });
    let mut report = crate::lint(&scripts, severities);
    report.findings.retain(|finding| finding.file == "it.sql");
    report
}

pub(crate) fn lint(sql: Sql<'_>) -> Report {
    lint_with(sql, &Severities::default())
}

/// `line:column rule` of each.
pub(crate) fn rules(sql: Sql<'_>) -> Vec<String> {
    let names: Vec<_> = Rule::all().map(Rule::name).filter(|name| !name.starts_with("prefer-")).collect();
    rules_among(sql, &names)
}

pub(crate) fn rules_among(sql: Sql<'_>, names: &[&str]) -> Vec<String> {
    let found = lint(sql).findings.into_iter().filter(|f| names.contains(&f.rule.name()));
    found.map(|f| format!("{}:{} {}", f.start.line, f.start.column, f.rule)).collect()
}
