//! One look at migrations with the eyes of each stage of a pipeline.

use std::collections::BTreeMap;

use stopover_model::id::{EnvironmentName, MigrationId};
use stopover_model::lint::LintFinding;
use stopover_model::migration::Migration;
use stopover_model::pipeline::Pipeline;
use stopover_model::report::SqlPlace;

use crate::finding::{Finding, Place, Unread};
use crate::lint::lint;
use crate::rule::{Rule, UnknownRule};
use crate::script::{Role, ScriptToLint};
use crate::severity::{Severities, Severity};

/// What was found, once, and what the stages make of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StagesReport {
    pub findings: Vec<StagesFinding>,
    /// How many a comment in the SQL took away.
    pub ignored: usize,
    pub unread: Vec<Unread>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagesFinding {
    /// With the highest severity that it has in a stage.
    pub finding: Finding,
    /// What is decided by it.
    pub known: LintFinding,
}

/// Looks at the scripts that are chosen; the others tell of what is there. An error where the pipeline names a rule that
/// does not exist.
pub fn lint_stages(
    pipeline: &Pipeline,
    migrations: &[Migration],
    chosen: impl Fn(&MigrationId, Role) -> bool,
) -> Result<StagesReport, UnknownRule> {
    let mut scripts = Vec::new();
    let mut ids = Vec::new();
    for migration in migrations {
        let Migration { id, manifest, .. } = migration;
        for script in ScriptToLint::of(migration, |file| manifest.file_name(id, file)) {
            ids.push(id);
            scripts.push(ScriptToLint { is_context: !chosen(id, script.role), ..script });
        }
    }
    let mut report = StagesReport::default();
    if scripts.iter().all(|script| script.is_context) {
        return Ok(report);
    }
    let order: BTreeMap<_, _> = (0..).zip(&scripts).map(|(n, s)| ((s.migration, s.role), n)).collect();
    let mut found: BTreeMap<(usize, Place, Rule, Place), StagesFinding> = BTreeMap::new();
    for View { severities, saves, stages } in views(pipeline)? {
        let scripts: Vec<_> =
            scripts.iter().map(|s| ScriptToLint { saves: s.saves && saves, ..s.clone() }).collect();
        let seen = lint(&scripts, &severities);
        for finding in seen.findings {
            let Some(script) = order.get(&(finding.migration.as_str(), finding.role)).copied() else {
                continue;
            };
            let severity = finding.severity;
            let one = found
                .entry((script, finding.start, finding.rule, finding.end))
                .or_insert_with(|| StagesFinding { known: known(ids[script], &finding), finding });
            one.finding.severity = one.finding.severity.max(severity);
            match severity {
                Severity::Allow => {}
                Severity::Warn => one.known.warn.extend(stages.iter().cloned()),
                Severity::Refuse => one.known.refuse.extend(stages.iter().cloned()),
            }
        }
        report.ignored = report.ignored.max(seen.ignored);
        report.unread = seen.unread;
    }
    report.findings = found.into_values().collect();
    Ok(report)
}

/// What stages want alike.
struct View {
    severities: Severities,
    /// Whether what is dropped there is saved.
    saves: bool,
    stages: Vec<EnvironmentName>,
}

/// What the stages want, each wish once, with those whose it is.
fn views(pipeline: &Pipeline) -> Result<Vec<View>, UnknownRule> {
    let mut views: Vec<View> = Vec::new();
    for stage in &pipeline.stages {
        let severities = Severities::of_stage(&pipeline.lint, &stage.lint)?;
        let saves = stage.saving.save;
        match views.iter_mut().find(|view| view.severities == severities && view.saves == saves) {
            Some(view) => view.stages.push(stage.environment.clone()),
            None => views.push(View { severities, saves, stages: vec![stage.environment.clone()] }),
        }
    }
    Ok(views)
}

fn known(migration: &MigrationId, finding: &Finding) -> LintFinding {
    let place = SqlPlace {
        file: finding.file.clone(),
        line: finding.start.line,
        column: finding.start.column,
        text: finding.line_text.clone(),
    };
    LintFinding {
        migration: migration.clone(),
        script: finding.role,
        rule: finding.rule.name().to_owned(),
        place,
        message: finding.message.clone(),
        warn: Vec::new(),
        refuse: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::read_pipeline;

    const UP: &str =
        "ALTER TABLE t DROP a;\nUPDATE t SET b = 1;\n-- squawk-ignore ban-drop-column\nALTER TABLE t DROP c;";

    fn migration(id: &str, files: &[(&str, &str)]) -> Migration {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        Migration::parse(id.parse().unwrap(), files.collect()).unwrap()
    }

    fn pipeline(all: &str, staging: &str) -> Pipeline {
        let stage =
            |name: &str, lint: &str| format!("[[stage]]\nenvironment = \"{name}\"\n[stage.lint]\n{lint}\n");
        let stages = [stage("staging", staging), stage("eu", ""), stage("us", "")].concat();
        read_pipeline("p.toml", &format!("name = \"p\"\n[lint]\n{all}\n{stages}")).unwrap()
    }

    /// `line rule` of each, with the number of stages that warn and that refuse.
    fn found(report: &StagesReport) -> Vec<(String, usize, usize)> {
        let each = |f: &StagesFinding| {
            (format!("{} {}", f.finding.start.line, f.finding.rule), f.known.warn.len(), f.known.refuse.len())
        };
        report.findings.iter().map(each).collect()
    }

    #[test]
    fn each_is_told_once_with_the_stages_that_mind() {
        let migrations = [migration(
            "001_a",
            &[
                ("up.sql", UP),
                ("up.batch.sql", "DROP INDEX i;"),
                ("migration.toml", "table = \"t\"\nbatch_above_rows = 1\n"),
            ],
        )];
        let pipeline = pipeline(
            "refuse = [\"ban-drop-column\"]",
            "allow = \"all\"\nwarn = \"require-concurrent-index-deletion\"",
        );
        let report = lint_stages(&pipeline, &migrations, |_, _| true).unwrap();
        let wanted = [
            ("1 ban-drop-column", 0, 2),
            ("2 stopover/lock-held-while-slow", 2, 0),
            ("2 stopover/update-without-where", 2, 0),
            ("1 require-concurrent-index-deletion", 3, 0),
        ];
        assert_eq!(found(&report), wanted.map(|(text, warn, refuse)| (text.to_owned(), warn, refuse)));
        assert_eq!(report.ignored, 1);
        let known = &report.findings[0].known;
        assert_eq!((known.place.file.as_str(), known.place.line), ("001_a/up.sql", 1));
        assert_eq!(known.place.text, "ALTER TABLE t DROP a;");
    }

    #[test]
    fn a_stage_that_saves_nothing_minds_what_a_rollback_drops() {
        let migrations = [migration(
            "001_a",
            &[("up.sql", "ALTER TABLE t ADD a int;"), ("down.sql", "ALTER TABLE t DROP a;")],
        )];
        let text = "name = \"p\"\n[lint]\nallow = \"all\"\nwarn = [\"stopover/rollback-loses-data\"]\n\
                    [[stage]]\nenvironment = \"staging\"\nsave = false\n[[stage]]\nenvironment = \"production\"\n";
        let report = lint_stages(&read_pipeline("p.toml", text).unwrap(), &migrations, |_, _| true).unwrap();
        assert_eq!(found(&report), [("1 stopover/rollback-loses-data".to_owned(), 1, 0)]);
        assert_eq!(report.findings[0].known.warn, ["staging".parse::<EnvironmentName>().unwrap()]);
    }

    #[test]
    fn what_is_not_chosen_only_tells_of_what_is_there() {
        let migrations = [
            migration("001_a", &[("up.sql", "CREATE TABLE t (a int);\nDROP TABLE u;")]),
            migration("002_b", &[("up.sql", "CREATE INDEX i ON t (a);"), ("down.sql", "DROP INDEX i;")]),
        ];
        let chosen = |id: &MigrationId, role| id.as_str() == "002_b" && role == Role::Up;
        let report = lint_stages(&pipeline("", ""), &migrations, chosen).unwrap();
        assert_eq!(found(&report), [("1 require-concurrent-index-creation".to_owned(), 3, 0)]);
        assert!(report.findings[0].finding.note.as_ref().unwrap().contains("created by 001_a"));
        assert_eq!(
            lint_stages(&pipeline("", ""), &migrations, |_, _| false).unwrap(),
            StagesReport::default()
        );
    }
}
