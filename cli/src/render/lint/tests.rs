use stopover_lint::{Role, ScriptToLint, Selector, lint};
use stopover_model::migration::Script;

use super::super::line::text;
use super::*;

const SQL: &str = "ALTER TABLE users ADD COLUMN done boolean;\nUPDATE users SET done = true;\n\
    ALTER TABLE users ALTER COLUMN done SET DEFAULT false;\n-- squawk-ignore ban-drop-column\n\
    ALTER TABLE users DROP COLUMN old;\nSELECT 1 FROM;\nCREATE INDEX ON users (done);\n";

fn report(sql: &str, severities: &Severities) -> Report {
    let script = Script::parse(sql.as_bytes()).unwrap();
    let script = ScriptToLint {
        file: "db/7_done.sql".into(),
        migration: "7_done",
        script: &script,
        role: Role::Up,
        rerun_is_safe: false,
        saves: true,
        is_context: false,
    };
    lint(&[script], severities)
}

fn refusing(rule: &str) -> Severities {
    let mut severities = Severities::default();
    severities.set(Selector::One(rule.parse().unwrap()), Severity::Refuse);
    severities
}

#[test]
fn each_finding_with_its_place_and_the_way_out() {
    let shown = lines(&report(SQL, &refusing("require-concurrent-index-creation")), 1, 100);
    assert!(shown.iter().all(|line| line.width() <= 80));
    insta::assert_snapshot!(text(&shown), @r#"
    warning[stopover/lock-held-while-slow]: users is locked against readers and
      writers from line 1 until the transaction ends, and this UPDATE may take long:
      nobody gets at users meanwhile.
     --> db/7_done.sql:2:1
    2 | UPDATE users SET done = true;
      | ^
    help: Move it into a migration of its own; or let each statement commit by
          itself: no BEGIN and COMMIT in the file, and transaction = "never" in
          migration.toml.

    warning[stopover/update-without-where]: This UPDATE touches every row of users
      at once: each stays locked until the transaction ends, and the table grows to
      twice its size.
     --> db/7_done.sql:2:1
    2 | UPDATE users SET done = true;
      | ^
    help: Let the new column's default give the rows that are there their value:
          that takes no time at any size. Afterwards set the default for the rows to
          come.
    sql: Instead of the new column and of this UPDATE:
        ALTER TABLE users ADD COLUMN done boolean DEFAULT true;
        ALTER TABLE users ALTER COLUMN done SET DEFAULT false;

    refused[require-concurrent-index-creation]: During normal index creation, table
      updates are blocked, but reads are still allowed.
     --> db/7_done.sql:7:1
    7 | CREATE INDEX ON users (done);
      | ^
    help: Use `concurrently` to avoid blocking writes.
    sql: Add CONCURRENTLY:
        CREATE INDEX CONCURRENTLY users_done_idx ON users (done);
    see https://squawkhq.com/docs/require-concurrent-index-creation

    Not looked at in full; PostgreSQL is the judge of their syntax:
      db/7_done.sql:6: squawk can't read it: expected from item, got EOF

    1 refused, 2 warnings in 1 script; 1 ignored by comments
    "#);
}

#[test]
fn nothing_found_is_said_too() {
    assert_eq!(
        text(&lines(&report("SELECT 1;", &Severities::default()), 2, 100)),
        "nothing found in 2 scripts\n"
    );
}

#[test]
fn github_is_told_the_place_in_its_own_way() {
    let found = report("ALTER TABLE t DROP \"100%\";", &refusing("ban-drop-column"));
    assert_eq!(
        github::lines(&found),
        [
            "::error file=db/7_done.sql,line=1,col=15,endLine=1,endColumn=26,title=ban-drop-column::Dropping a column may \
          break existing clients.%0A%0Ahttps://squawkhq.com/docs/ban-drop-column"
        ]
    );
    let found = report("UPDATE t SET a = '100%';", &Severities::default());
    let line = &github::lines(&found)[0];
    assert!(
        !line.contains('\n') && line.contains("%0A%0A-- stopover: backfill%0AUPDATE t SET a = '100%25';"),
        "{line}"
    );
    assert!(line.contains("title=stopover/update-without-where::"), "{line}");
}

#[test]
fn every_rule_is_listed_with_what_it_does() {
    let shown = text(&rules(&refusing("ban-drop-column"), 100));
    assert!(shown.contains("refuse  ban-drop-column\n        a dropped column\n"), "{shown}");
    assert!(
        shown.starts_with("warn    stopover/update-without-where\n        an UPDATE of every row"),
        "{shown}"
    );
    assert!(
        shown.contains("allow   require-lock-timeout\n        no lock_timeout is set (off: each statement runs under the stage's"),
        "{shown}"
    );
}
