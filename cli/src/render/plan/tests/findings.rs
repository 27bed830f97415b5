//! What the linter found, in a plan.

use stopover_lint::{StagesFinding, lint_stages, read_pipeline};

use super::super::super::sample::whole_migration;
use super::*;
use crate::answer::{FindingAnswer, LintAnswer};

/// The guide's plan, with what is found through a pipeline whose production has these settings.
fn linted(production: &str) -> PlanAnswer {
    let text = format!(
        "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nsave = false\n[[stage]]\nenvironment = \"production\"\nsave = false\n\
         [stage.lint]\n{production}\n"
    );
    let pipeline = read_pipeline("p.toml", &text).unwrap();
    let report = lint_stages(&pipeline, &[whole_migration()], |_, _| true).unwrap();
    let finding = |StagesFinding { finding, known }: StagesFinding| FindingAnswer {
        migration: known.migration,
        script: known.script,
        place: known.place,
        end: finding.end,
        url: finding.rule.url(),
        rule: known.rule,
        warn: known.warn,
        refuse: known.refuse,
        message: finding.message,
        help: finding.help,
        note: finding.note,
        rewrite: finding.rewrite,
    };
    let findings = report.findings.into_iter().map(finding).collect();
    let mut answer = answer(target(1, inspection(1)));
    answer.lint = LintAnswer { findings, ignored: 2, unread: report.unread };
    answer
}

#[test]
fn each_stands_once_with_the_stages_that_mind_it() {
    let all = shown(&linted("allow = \"all\"\nrefuse = \"stopover/rollback-loses-data\""));
    let from = all.find("1. staging").unwrap();
    let stages: Vec<_> = all[from..].lines().filter(|line| line.contains("lint ")).collect();
    insta::assert_snapshot!(stages.join("\n"), @r"
    lint    5 warnings, below
    lint    refused for 1 finding, below
    ");
    let from = all.find("\nwarning[").unwrap();
    let to = all.find("\n001_add_onboarding_completed/up.sql:").unwrap();
    insta::assert_snapshot!(&all[from..to], @r#"
    warning[stopover/lock-held-while-slow]: users is locked against readers and
      writers from line 10 until the transaction ends, and this UPDATE may take
      long: nobody gets at users meanwhile.
      --> 001_add_onboarding_completed/up.sql:14:1
    14 | UPDATE users SET onboarding_completed = true WHERE onboarding_completed IS…
       | ^
    in: staging (warning)
    help: Move it into a migration of its own; or let each statement commit by
          itself: no BEGIN and COMMIT in the file, and transaction = "never" in
          migration.toml.

    warning[stopover/update-without-where]: This UPDATE touches every row of users
      at once: each stays locked until the transaction ends, and the table grows to
      twice its size.
      --> 001_add_onboarding_completed/up.sql:14:1
    14 | UPDATE users SET onboarding_completed = true WHERE onboarding_completed IS…
       | ^
    in: staging (warning)
    help: Let the new column's default give the rows that are there their value:
          that takes no time at any size. Afterwards set the default for the rows to
          come.
    sql: Instead of the new column and of this UPDATE:
        ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN
            DEFAULT true;
        ALTER TABLE users ALTER COLUMN onboarding_completed SET DEFAULT false;

    warning[require-concurrent-index-creation]: During normal index creation, table
      updates are blocked, but reads are still allowed.
      --> 001_add_onboarding_completed/up.sql:16:1
    16 | CREATE INDEX IF NOT EXISTS idx_users_onboarding_completed ON users (onboar…
       | ^
    in: staging (warning)
    help: Use `concurrently` to avoid blocking writes.
    sql: Add concurrently:
        CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_users_onboarding_completed ON
            users (onboarding_completed);
    see https://squawkhq.com/docs/require-concurrent-index-creation

    warning[stopover/backfill-without-need]: This block gives the rows of users one
      value in a column that is new, in one UPDATE after the other: its default does
      so at once, at any size.
     --> 001_add_onboarding_completed/up.batch.sql:9:1
    9 | DO $$
      | ^
    in: staging (warning)
    help: Add the column with that value as its default, then set the default for
          the rows to come. Right if the block is to reach every row: how far its
          loop goes is not looked at.
    sql: Instead of the new column and of this block:
        ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN
            DEFAULT true;
        ALTER TABLE users ALTER COLUMN onboarding_completed SET DEFAULT false;

    warning[require-concurrent-index-deletion]: A normal `DROP INDEX` acquires an
      `ACCESS EXCLUSIVE` lock on the table, blocking other accesses until the index
      drop can complete.
     --> 001_add_onboarding_completed/down.sql:5:1
    5 | DROP INDEX IF EXISTS idx_users_onboarding_completed;
      | ^
    in: staging (warning)
    help: Drop the index `CONCURRENTLY`.
    sql: Add concurrently:
        DROP INDEX CONCURRENTLY IF EXISTS idx_users_onboarding_completed;
    see https://squawkhq.com/docs/require-concurrent-index-deletion

    refused[stopover/rollback-loses-data]: A rollback loses what was written to
      users.onboarding_completed since: it is not saved, and only the backup before
      the rollback has it.
     --> 001_add_onboarding_completed/down.sql:7:19
    7 | ALTER TABLE users DROP COLUMN IF EXISTS onboarding_completed;
      |                   ^
    in: production (refused), staging (warning)
    help: Take away `save = false`, or `-- stopover: save=off` above it: then it is
          saved in the same transaction.
    sql: Or keep it before, by the table's key, here id:
        CREATE TABLE users_onboarding_completed_kept AS SELECT id,
            onboarding_completed FROM users WHERE onboarding_completed IS NOT NULL;

    2 findings of the linter's ignored by comments in the SQL
    "#);
}

#[test]
fn programs_get_the_same() {
    let json = serde_json::to_value(linted("refuse = \"all\"")).unwrap();
    let found = json["lint"]["findings"].as_array().unwrap();
    let update = found.iter().find(|f| f["rule"] == "stopover/update-without-where").unwrap();
    assert_eq!(update["file"], "001_add_onboarding_completed/up.sql");
    assert_eq!(
        (&update["line"], &update["column"], &update["end"]["line"]),
        (&14.into(), &1.into(), &14.into())
    );
    assert_eq!(
        (&update["warn"], &update["refuse"]),
        (&serde_json::json!(["staging"]), &serde_json::json!(["production"]))
    );
    assert_eq!(
        (&update["script"], &update["migration"]),
        (&"up".into(), &"001_add_onboarding_completed".into())
    );
    assert!(update["rewrite"]["sql"].as_str().unwrap().contains("DEFAULT true"), "{update}");
    assert_eq!(json["lint"]["ignored"], 2);
}

#[test]
fn what_a_stage_refuses_refuses_the_plan() {
    let mut answer = linted("refuse = \"all\"");
    assert!(!answer.is_refused());
    answer.stages[1].targets[0].lint_refusal =
        Some(StepError::new(ErrorClass::Setup, "production refuses it"));
    assert!(answer.is_refused());
    assert!(shown(&answer).contains("refused: a deployment would stop at what is refused above"));
}
