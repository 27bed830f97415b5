use stopover_model::migration::Reading as HowToRead;

use super::*;
use crate::severity::Selector;
use crate::testing::{Sql, lint, lint_with, rules, rules_among};

#[test]
fn places_are_those_of_the_file_in_characters() {
    let sql = "\u{feff}-- żółć\r\nCOPY t (a) FROM stdin;\r\nDROP TABLE x;\r\n\\.\r\n\\restrict x'\r\n\r\n\
               SELECT '日本'; ALTER TABLE \"żó\" DROP \"ł\";\r\n";
    let how = HowToRead { first_line: 11, must_do_something: false, ..HowToRead::default() };
    let report = lint(Sql { how, ..Sql::up(sql) });
    let [found] = &report.findings[..] else { panic!("{report:?}") };
    assert_eq!(found.rule.name(), "ban-drop-column");
    assert_eq!((found.start, found.end), (Place { line: 17, column: 31 }, Place { line: 17, column: 39 }));
    assert_eq!(found.line_text, "SELECT '日本'; ALTER TABLE \"żó\" DROP \"ł\";");
}

#[test]
fn what_squawk_can_not_read_is_no_finding_and_is_told() {
    let sql = "SELECT 1 FROM;\nALTER TABLE t DROP a;\nUPDATE t SET a = ;";
    let report = lint(Sql::up(sql));
    let found: Vec<_> = report.findings.iter().map(|f| f.rule.name()).collect();
    assert_eq!(found, ["ban-drop-column", "stopover/lock-held-while-slow", "stopover/update-without-where"]);
    assert_eq!(report.unread.iter().map(|u| u.line).collect::<Vec<_>>(), [1, 3]);
    assert!(report.unread[0].why.starts_with("squawk can't read it: "), "{}", report.unread[0].why);
}

#[test]
fn what_the_engine_does_by_itself_is_asked_of_nobody() {
    assert_eq!(rules(Sql::up("ALTER TABLE t ADD a text;\nCREATE INDEX CONCURRENTLY i ON t (a);")), [""; 0]);
    assert_eq!(rules(Sql::up("BEGIN;\nALTER TABLE t ADD a text;\nCOMMIT;")), [""; 0]);
    let mut severities = Severities::default();
    severities.set(Selector::One("require-lock-timeout".parse().unwrap()), Severity::Refuse);
    let report = lint_with(Sql::up("ALTER TABLE t ADD a text;"), &severities);
    assert_eq!(report.count(Severity::Refuse), 1, "unless it is wanted by name");
}

#[test]
fn a_table_of_the_same_script_has_nobody_who_waits() {
    let rest = "ALTER TABLE t ADD b bigint NOT NULL REFERENCES u;\nALTER TABLE t ADD UNIQUE (b);\nCREATE INDEX i ON t (b);\nALTER TABLE t DROP b;";
    assert_eq!(rules(Sql::up(&format!("CREATE TABLE t (a text);\n{rest}"))), [""; 0]);
    assert_eq!(rules(Sql::up(rest)).len(), 5);
    let own = "CREATE TABLE t (a text);\nVACUUM t;\nINSERT INTO t SELECT 'x';\nCREATE INDEX i ON t (a);";
    assert_eq!(rules(Sql::up(own)), ["4:1 require-concurrent-index-creation"], "filled, and seen by others");
}

#[test]
fn a_column_of_the_same_script_is_known_to_nobody() {
    assert_eq!(
        rules(Sql::up("ALTER TABLE t ADD b text DEFAULT 'x';\nALTER TABLE t ALTER b DROP DEFAULT;")),
        [""; 0]
    );
    assert_eq!(rules(Sql::up("ALTER TABLE t ADD c text;\nALTER TABLE t ALTER b DROP DEFAULT;")).len(), 1);
}

#[test]
fn a_table_of_another_migration_may_be_full_by_now() {
    let report =
        lint(Sql { before: &["CREATE TABLE t (a text);"], ..Sql::up("CREATE INDEX i ON public.t (a);") });
    assert_eq!(
        report.findings[0].note.as_deref(),
        Some("public.t is created by before_1: where both are applied in one go, it is still empty then")
    );
    let renamed = ["CREATE TABLE s (a text);", "ALTER TABLE s RENAME TO t;", "DROP TABLE s;"];
    let report = lint(Sql { before: &renamed, ..Sql::up("CREATE INDEX i ON t (a);") });
    assert!(report.findings[0].note.as_deref().unwrap().starts_with("t is created by before_1"));
    let dropped = ["CREATE TABLE t (a text);", "DROP TABLE t;"];
    assert_eq!(lint(Sql { before: &dropped, ..Sql::up("CREATE INDEX i ON t (a);") }).findings[0].note, None);
}

#[test]
fn a_way_back_may_drop_and_may_not_block() {
    let down = "DROP INDEX i;\nALTER TABLE t DROP CONSTRAINT c, ALTER b TYPE text;\nDROP VIEW v;\nALTER TABLE t ADD d int;";
    assert_eq!(
        rules(Sql::down("SELECT 1;", down)),
        ["1:1 require-concurrent-index-deletion", "2:42 changing-column-type"]
    );
    assert_eq!(
        lint(Sql::down("SELECT 1;", down)).findings.len(),
        2,
        "nor is it told how to write what was there"
    );
}

#[test]
fn transactions_are_as_the_engine_makes_them() {
    let both =
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;\nALTER TABLE t VALIDATE CONSTRAINT c;";
    assert_eq!(
        rules_among(Sql::up(both), &["constraint-missing-not-valid"]),
        ["2:15 constraint-missing-not-valid"]
    );
    let own = format!("{both}\nVACUUM t;");
    assert_eq!(rules(Sql::up(&own)), [""; 0]);
    let comment = format!("-- squawk-disable-assume-in-transaction\n{both}");
    assert_eq!(rules_among(Sql::up(&comment), &["constraint-missing-not-valid"]).len(), 1);
}

#[test]
fn one_problem_is_told_once_unless_the_other_name_weighs_more() {
    let sql = "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u;";
    assert_eq!(rules(Sql::up(sql)), ["1:19 adding-foreign-key-constraint"]);
    let mut severities = Severities::default();
    severities.set(Selector::One("constraint-missing-not-valid".parse().unwrap()), Severity::Refuse);
    assert_eq!(lint_with(Sql::up(sql), &severities).findings.len(), 2);
    severities.set(Selector::One("adding-foreign-key-constraint".parse().unwrap()), Severity::Allow);
    assert_eq!(lint_with(Sql::up(sql), &severities).count(Severity::Refuse), 1);
}

/// Followed to the letter, an advice is not met with another.
#[test]
fn what_is_written_out_to_copy_is_found_fault_with_no_more() {
    for sql in [
        "ALTER TABLE t ADD CONSTRAINT c FOREIGN KEY (a) REFERENCES u (id);",
        "ALTER TABLE t ADD CHECK (a > 0);",
        "ALTER TABLE t ADD UNIQUE (a);",
        "ALTER TABLE t ADD PRIMARY KEY (id);",
        "ALTER TABLE t ADD a bigint REFERENCES u (id);",
        "ALTER TABLE t ADD a uuid DEFAULT gen_random_uuid();",
        "ALTER TABLE t ADD a bigserial;",
        "ALTER TABLE t ALTER a SET NOT NULL;",
        "CREATE INDEX ON t (a);",
        "DROP INDEX i;",
        "ALTER TABLE t ADD a boolean;\nUPDATE t SET a = true;",
        "UPDATE t SET a = b;",
        "DELETE FROM t;",
    ] {
        let report = lint(Sql::up(sql));
        let written: Vec<_> =
            report.findings.iter().filter(|f| !f.rule.name().starts_with("prefer-")).collect();
        for finding in written.iter().filter(|f| f.rule.name() != "stopover/lock-held-while-slow") {
            let rewrite = finding.rewrite.as_ref().unwrap_or_else(|| panic!("{} in {sql}", finding.rule));
            // What belongs into the migrations behind is looked at as such.
            let mut parts: Vec<_> = rewrite
                .sql
                .split("-- in a migration of its own, so that the lock above is gone:\n")
                .flat_map(|p| p.split("-- and in the next one:\n"))
                .collect();
            let last = parts.pop().unwrap();
            let again = rules(Sql { before: &parts, rerun_is_safe: true, ..Sql::up(last) });
            assert_eq!(again, [""; 0], "{}: {}", finding.rule, rewrite.sql);
        }
    }
}

#[test]
fn text_made_to_end_the_process_does_not() {
    let deep = format!("SELECT {}1{};\nALTER TABLE t DROP a;", "(".repeat(20_000), ")".repeat(20_000));
    let report = lint(Sql::up(&deep));
    assert_eq!((report.findings.len(), report.unread.len()), (1, 1));
    let long = format!("SELECT a{};", "|a".repeat(400));
    assert_eq!(lint(Sql::up(&long)).unread, []);
    let long = format!("SELECT a{};", " OR a".repeat(6_000));
    assert_eq!(lint(Sql::up(&long)).unread, []);
}
