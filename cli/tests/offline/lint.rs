//! `stopover lint`, as it runs in somebody's CI.

use serde_json::Value;

use super::{Files, Home};

const DROP: &str = "ALTER TABLE t DROP COLUMN a;\n";

/// A layout, its files, and where something is found in them.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

/// `file:line:column rule` of each finding.
fn found(home: &Home, args: &[&str]) -> Vec<String> {
    let ran = home.run(&[&["lint", "--json"], args].concat());
    assert!(ran.code < 2, "{}", ran.stderr);
    let answer: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let text = |f: &Value, key: &str| f[key].as_str().expect("a string").to_owned();
    let shown = |f: &Value| format!("{}:{}:{} {}", text(f, "file"), f["line"], f["column"], text(f, "rule"));
    answer["findings"].as_array().expect("findings").iter().map(shown).collect()
}

#[test]
fn every_layout_has_its_own_files_and_lines() {
    let home = Home::new();
    let goose = "-- +goose Up\r\n-- +goose StatementBegin\r\nALTER TABLE t DROP COLUMN a;\r\n-- +goose StatementEnd\r\n\r\n\
                 -- +goose Down\r\nDROP INDEX i;\r\n";
    let dbmate = format!("\u{feff}-- migrate:up\n{DROP}-- migrate:down\n\nDROP INDEX i;\n");
    let plan = "%project=p\n\nb 2024-01-01T00:00:00Z A <a@x>\n";
    let sqlx = format!("-- no-transaction\n{DROP}");
    let cases: [Case<'_>; 11] = [
        ("native", &[("up.sql", DROP), ("down.sql", "DROP INDEX i;")], &["up.sql:1:15", "down.sql:1:1"]),
        (
            "native-many",
            &[("1_a/up.sql", DROP), ("1_a/down.sql", "DROP INDEX i;")],
            &["1_a/up.sql:1:15", "1_a/down.sql:1:1"],
        ),
        (
            "golang-migrate",
            &[("1_a.up.sql", DROP), ("1_a.down.sql", "DROP INDEX i;")],
            &["1_a.up.sql:1:15", "1_a.down.sql:1:1"],
        ),
        ("diesel", &[("2024-01-01-000000_a/up.sql", DROP)], &["2024-01-01-000000_a/up.sql:1:15"]),
        (
            "flyway",
            &[("V1__a.sql", DROP), ("U1__a.sql", "DROP INDEX i;")],
            &["V1__a.sql:1:15", "U1__a.sql:1:1"],
        ),
        ("dbmate", &[("1_a.sql", &dbmate)], &["1_a.sql:2:15", "1_a.sql:5:1"]),
        ("goose", &[("1_a.sql", goose)], &["1_a.sql:3:15", "1_a.sql:7:1"]),
        ("sqlx", &[("1_a.sql", &sqlx)], &["1_a.sql:2:15"]),
        ("sqitch", &[("sqitch.plan", plan), ("deploy/b.sql", DROP)], &["deploy/b.sql:1:15"]),
        ("autocommit", &[("1_a.autocommit.up.sql", DROP)], &["1_a.autocommit.up.sql:1:15"]),
        ("plain", &[("1-a.sql", DROP)], &["1-a.sql:1:15"]),
    ];
    for (layout, files, places) in cases {
        home.migration(layout, files);
        let rules = ["ban-drop-column", "require-concurrent-index-deletion"];
        let expected: Vec<_> =
            places.iter().zip(rules).map(|(place, rule)| format!("{layout}/{place} {rule}")).collect();
        assert_eq!(found(&home, &[layout]), expected);
        if layout != "native" {
            let notes = home.run(&["lint", layout]).stdout;
            assert!(notes.starts_with(&format!("layout of {layout}: {layout}\n")), "{notes}");
        }
    }
}

#[test]
fn the_exit_code_says_whether_something_is_refused() {
    let home = Home::new();
    let it = home.migration("1_a", &[("up.sql", DROP)]);
    let ignored = home
        .migration("2_b", &[("up.sql", "-- squawk-ignore ban-drop-column -- unused\nALTER TABLE t DROP a;")]);
    for (args, code, end) in [
        (&[it.as_str()][..], 0, "1 warning in 1 script\n"),
        (&[&it, "--refuse", "all"], 1, "1 refused in 1 script\n"),
        (&[&it, "--refuse", "ban-drop-column"], 1, "1 refused in 1 script\n"),
        (&[&it, "--refuse", "all", "--allow", "ban-drop-column"], 0, "nothing found in 1 script\n"),
        (
            &[&it, "--allow", "all", "--refuse", "stopover/update-without-where"],
            0,
            "nothing found in 1 script\n",
        ),
        (&[&ignored, "--refuse", "all"], 0, "nothing found in 1 script; 1 ignored by comments\n"),
        (&[&it, &ignored, "--refuse", "all"], 1, "1 refused in 2 scripts; 1 ignored by comments\n"),
    ] {
        let ran = home.run(&[&["lint"], args].concat());
        assert_eq!(ran.code, code, "{args:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.ends_with(end), "{args:?}: {}", ran.stdout);
        assert!(!ran.stdout.contains('\u{1b}'), "plain without a terminal");
    }
    assert!(home.run(&["lint", "1_a", "--color", "always"]).stdout.contains('\u{1b}'));
}

#[test]
fn wrong_usage_and_unreadable_input_are_2() {
    let home = Home::new();
    let bad: Files = &[("up.sql", "SELECT 1;\n\\i x.sql")];
    home.migration("bad", bad);
    home.migration("1_a", &[("up.sql", DROP)]);
    for (args, expected) in [
        (&["bad"][..], "error: bad/up.sql: line 2: \\i is a command of psql's own"),
        (&["bad/up.sql"], "error: bad/up.sql: line 2: \\i is a command of psql's own"),
        (&["absent"], "error: could not read absent: No such file"),
        (&["1_a", "--layout", "goose"], "error: 1_a/up.sql"),
        (
            &["1_a", "--refuse", "ban-drop-colum"],
            "error: invalid value 'ban-drop-colum' for '--refuse <RULE>': no rule is called `ban-drop-colum`; did you mean `ban-drop-column`?",
        ),
        (
            &["1_a", "--refuse", "ban-drop-column", "--allow", "ban-drop-column"],
            "error: ban-drop-column is given to --allow and to --refuse\nhint: give it to one of them",
        ),
        (&[], "error: the following required arguments were not provided"),
    ] {
        let ran = home.run(&[&["lint"], args].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(ran.stderr.starts_with(expected), "{}", ran.stderr);
    }
}

#[test]
fn one_file_is_looked_at_with_what_its_directory_tells() {
    let home = Home::new();
    let add = "ALTER TABLE t ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID;";
    let set = "ALTER TABLE t ALTER a SET NOT NULL;";
    home.migration(
        "db",
        &[
            ("1_a.sql", add),
            ("2_b.sql", "ALTER TABLE t VALIDATE CONSTRAINT c;"),
            ("3_c.sql", set),
            ("4_d.sql", DROP),
        ],
    );
    home.migration("never", &[("up.sql", "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;\nALTER TABLE t VALIDATE CONSTRAINT c;"), ("migration.toml", "transaction = \"never\"")]);
    home.migration(
        "alone",
        &[
            ("schema.sql", DROP),
            ("notes.down.sql", &format!("-- stopover: save=off\n{DROP}")),
            ("x.txt", ""),
            ("1_a.down.sql", ""),
        ],
    );
    assert_eq!(found(&home, &["db/3_c.sql"]), [""; 0]);
    assert_eq!(found(&home, &["db/4_d.sql"]), ["db/4_d.sql:1:15 ban-drop-column"]);
    assert_eq!(found(&home, &["never/up.sql"]), [""; 0]);
    assert_eq!(found(&home, &["alone/schema.sql"]), ["alone/schema.sql:1:15 ban-drop-column"]);
    assert_eq!(
        found(&home, &["alone/notes.down.sql"]),
        ["alone/notes.down.sql:2:15 stopover/rollback-loses-data"]
    );
}

#[test]
fn json_has_all_of_it() {
    let home = Home::new();
    home.migration("1_a", &[("up.sql", "CREATE INDEX i ON t (a);\nSELECT 1 FROM;\n")]);
    let ran = home.run(&["lint", "1_a", "--json"]);
    insta::assert_snapshot!(ran.stdout, @r#"{"findings":[{"file":"1_a/up.sql","line":1,"column":1,"end":{"line":1,"column":24},"rule":"require-concurrent-index-creation","url":"https://squawkhq.com/docs/require-concurrent-index-creation","severity":"warn","message":"During normal index creation, table updates are blocked, but reads are still allowed.","help":"Use `concurrently` to avoid blocking writes.","rewrite":{"title":"Add concurrently","sql":"CREATE INDEX CONCURRENTLY i ON t (a);"}}],"unread":[{"file":"1_a/up.sql","line":2,"why":"squawk can't read it: expected from item, got EOF"}],"ignored":0,"warned":1,"refused":0,"scripts":1}"#);
    assert_eq!(home.run(&["lint", "1_a", "--format", "json"]).stdout, ran.stdout);
    let rules: Value = serde_json::from_str(&home.run(&["lint", "--rules", "--json"]).stdout).unwrap();
    let of =
        |name: &str| rules["rules"].as_array().unwrap().iter().find(|r| r["rule"] == name).cloned().unwrap();
    assert_eq!(of("ban-drop-column")["severity"], "warn");
    assert_eq!(of("require-lock-timeout")["severity"], "allow");
    assert!(of("require-lock-timeout")["off_because"].is_string());
}

#[test]
fn a_workflow_of_github_gets_annotations() {
    let home = Home::new();
    home.migration("db", &[("1_a.sql", DROP)]);
    let ran = home.run(&["lint", "db", "--format", "github", "--refuse", "all"]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.stdout,
        "::error file=db/1_a.sql,line=1,col=15,endLine=1,endColumn=28,title=ban-drop-column::Dropping a column may break \
         existing clients.%0A%0Ahttps://squawkhq.com/docs/ban-drop-column\n"
    );
}

#[test]
fn the_help_documents_what_json_holds_and_what_ignores() {
    let help = Home::new().run(&["lint", "--help"]).stdout;
    for word in [
        "squawk-ignore-file",
        "rewrite { title, sql }",
        "unread",
        "--format",
        "--rules",
        "is named by itself comes before `all`",
    ] {
        assert!(help.contains(word), "{word}");
    }
}
