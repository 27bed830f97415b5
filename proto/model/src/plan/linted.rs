//! What the linter found in the scripts that would run: a word of warning, or no plan.

use std::collections::BTreeSet;

use super::{Action, TargetPlan};
use crate::id::{EnvironmentName, MigrationId};
use crate::lint::{LintFinding, ScriptRole};
use crate::report::{ErrorClass, StepError};

/// A plan warns of so many at most, and a refusal names so many.
const MOST_WARNINGS: usize = 20;
const MOST_REFUSALS: usize = 5;

impl TargetPlan {
    /// The plan with warnings of what was found in its scripts, or why the stage refuses them.
    pub fn linted(mut self, stage: &EnvironmentName, findings: &[LintFinding]) -> Result<Self, StepError> {
        if let Some(refusal) = self.lint_refusal(stage, findings) {
            return Err(refusal);
        }
        let scripts = self.scripts();
        let warned = |f: &&LintFinding| f.warn.contains(stage) && scripts.contains(&(&f.migration, f.script));
        let warnings: Vec<_> = findings.iter().filter(warned).map(named).collect();
        let more = warnings.len().saturating_sub(MOST_WARNINGS);
        self.warnings.extend(warnings.into_iter().take(MOST_WARNINGS).map(|text| format!("lint: {text}")));
        if more > 0 {
            self.warnings.push(format!("lint: and {more} more; `stopover lint` shows them all"));
        }
        Ok(self)
    }

    /// Why the stage refuses what would run.
    #[must_use]
    pub fn lint_refusal(&self, stage: &EnvironmentName, findings: &[LintFinding]) -> Option<StepError> {
        let scripts = self.scripts();
        let refused =
            |f: &&LintFinding| f.refuse.contains(stage) && scripts.contains(&(&f.migration, f.script));
        let refused: Vec<_> = findings.iter().filter(refused).collect();
        let (first, others) = refused.split_first()?;
        let mut message = format!("{stage} refuses {}", named(first));
        if !first.message.is_empty() {
            message.push_str(": ");
            message.push_str(&first.message);
        }
        if !others.is_empty() {
            let names: Vec<_> = others.iter().take(MOST_REFUSALS - 1).map(|f| named(f)).collect();
            let more = others.len() - names.len();
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            message = format!("{message} Also {}{more}.", names.join(", "));
        }
        let hint = format!(
            "change it: `stopover plan` and `stopover lint` write out what blocks less; or except the statement with a comment \
             above it, `-- squawk-ignore {0}`; or let the stage of the pipeline have it: allow = [\"{0}\"] in its \
             [stage.lint]. Then deploy again",
            first.rule
        );
        let mut error = StepError::new(ErrorClass::Setup, message).with_hint(hint);
        error.place = Some(first.place.clone());
        Some(error)
    }

    /// The migrations' scripts that run, or are the way back of one that does.
    #[must_use]
    pub fn scripts(&self) -> BTreeSet<(&MigrationId, ScriptRole)> {
        let mut scripts = BTreeSet::new();
        for migration in &self.migrations {
            if let Action::Apply { variant, .. } = &migration.action {
                let roles = ScriptRole::ALL.into_iter().filter(|role| role.comes_with(*variant));
                scripts.extend(roles.map(|role| (&migration.id, role)));
            }
        }
        scripts
    }
}

fn named(finding: &LintFinding) -> String {
    format!("{} in {}:{}", finding.rule, finding.place.file, finding.place.line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{MigrationPlan, Variant};
    use crate::report::SqlPlace;

    fn stage(name: &str) -> EnvironmentName {
        name.parse().unwrap()
    }

    fn finding(migration: &str, script: ScriptRole, line: u32) -> LintFinding {
        let place =
            SqlPlace { file: format!("{migration}/up.sql"), line, column: 1, text: "UPDATE t".into() };
        LintFinding {
            migration: migration.parse().unwrap(),
            script,
            rule: "stopover/update-without-where".into(),
            place,
            message: "It touches every row.".into(),
            warn: vec![stage("staging")],
            refuse: vec![stage("production")],
        }
    }

    fn plan() -> TargetPlan {
        let migration =
            |id: &str, action| MigrationPlan { id: id.parse().unwrap(), action, reason: String::new() };
        TargetPlan {
            database: "users".parse().unwrap(),
            migrations: vec![
                migration("001_a", Action::Skip),
                migration(
                    "002_b",
                    Action::Apply { variant: Variant::Batched, estimate: None, missing: None },
                ),
            ],
            warnings: vec!["as before".into()],
        }
    }

    #[test]
    fn only_what_would_run_counts() {
        let silent = [
            finding("001_a", ScriptRole::Up, 1),
            finding("001_a", ScriptRole::Down, 1),
            finding("002_b", ScriptRole::Up, 1),
            finding("003_elsewhere", ScriptRole::Up, 1),
        ];
        for name in ["staging", "production"] {
            assert_eq!(plan().linted(&stage(name), &silent).unwrap().warnings, ["as before"]);
        }
        for role in [ScriptRole::Batched, ScriptRole::Down] {
            let found = [finding("002_b", role, 7)];
            let warned = plan().linted(&stage("staging"), &found).unwrap().warnings;
            assert_eq!(warned[1..], ["lint: stopover/update-without-where in 002_b/up.sql:7"]);
            assert!(plan().linted(&stage("production"), &found).is_err());
            assert_eq!(plan().linted(&stage("elsewhere"), &found).unwrap().warnings.len(), 1, "it allows it");
        }
    }

    #[test]
    fn a_refusal_names_rule_place_and_the_ways_out() {
        let found: Vec<_> = (7..15).map(|line| finding("002_b", ScriptRole::Batched, line)).collect();
        let error = plan().linted(&stage("production"), &found[..1]).unwrap_err();
        assert_eq!(
            error.message,
            "production refuses stopover/update-without-where in 002_b/up.sql:7: It touches every row."
        );
        assert_eq!(error.place.as_ref().map(|p| (p.line, p.text.as_str())), Some((7, "UPDATE t")));
        let hint = error.hint.unwrap();
        for way in
            ["-- squawk-ignore stopover/update-without-where`", "allow = [\"stopover/update-without-where\"]"]
        {
            assert!(hint.contains(way), "{hint}");
        }
        let error = plan().linted(&stage("production"), &found).unwrap_err();
        assert!(error.message.ends_with("002_b/up.sql:11, and 3 more."), "{}", error.message);
    }

    #[test]
    fn warnings_are_bounded() {
        let found: Vec<_> = (1..=100).map(|line| finding("002_b", ScriptRole::Batched, line)).collect();
        let warnings = plan().linted(&stage("staging"), &found).unwrap().warnings;
        assert_eq!(warnings.len(), 1 + MOST_WARNINGS + 1);
        assert_eq!(warnings.last().unwrap(), "lint: and 80 more; `stopover lint` shows them all");
    }
}
