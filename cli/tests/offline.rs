//! The real program, in what it does without a server: help, usage, bad input, nobody at the address.

#[path = "offline/lint.rs"]
mod lint;

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;

const TOKEN: &str = "sto_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";

/// Name and text of each.
type Files = &'static [(&'static str, &'static str)];

struct Home(tempfile::TempDir);

/// What a terminal would show of a command.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[])
    }

    fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Ran {
        let mut command = Command::cargo_bin("stopover").expect("the program");
        command.env_clear().env("HOME", self.path()).current_dir(self.path()).args(args);
        command.envs(environment.iter().copied());
        let Output { status, stdout, stderr } = command.output().expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: status.code().expect("it ended by itself"), stdout: text(stdout), stderr: text(stderr) }
    }

    fn migration(&self, name: &str, files: &[(&str, &str)]) -> String {
        let directory = self.path().join(name);
        fs::create_dir_all(&directory).expect("a directory");
        for (file, text) in files {
            let path = directory.join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        name.to_owned()
    }
}

#[test]
fn help_and_version_are_successes() {
    let home = Home::new();
    let help = home.run(&["--help"]);
    assert_eq!(help.code, 0);
    for command in ["plan", "deploy", "watch", "rollback", "resolve", "dev", "completions", "Exit codes"] {
        assert!(help.stdout.contains(command), "{command}");
    }
    assert!(home.run(&["--version"]).stdout.starts_with("stopover 0."));
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let home = Home::new();
    for args in [&["launch"][..], &["deploy"], &["resolve", "x"], &["--token", "secret", "list"], &[]] {
        let ran = home.run(args);
        assert_eq!(ran.code, 2, "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[test]
fn without_configuration_the_way_out_is_told() {
    let home = Home::new();
    let ran = home.run(&["list"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: no server is configured
    hint: give --server URL, set $STOPOVER_SERVER, or write `server = "https://..."` into ~/.config/stopover/config.toml; to try it all on this machine: stopover dev
    "#);
}

#[test]
fn a_server_that_is_not_there_is_exit_code_3() {
    let home = Home::new();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = format!("https://127.0.0.1:{port}");
    let directory = home.migration("001_x", &[("up.sql", "SELECT 1;")]);
    for args in [&["list"][..], &["deploy", &directory], &["watch", "4k2m9x0c1d"]] {
        let ran = home.run_with(args, &[("STOPOVER_SERVER", &server), ("STOPOVER_TOKEN", TOKEN)]);
        assert_eq!(ran.code, 3, "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(&server) && ran.stderr.contains("hint: "), "{}", ran.stderr);
        assert!(ran.stderr.contains("refused") && !ran.stderr.contains(TOKEN), "{}", ran.stderr);
    }
}

#[test]
fn what_is_wrong_with_a_migration_is_said_without_any_server() {
    let home = Home::new();
    let cases: [(&str, Files, &str); 5] = [
        ("no-up", &[("down.sql", "SELECT 1;")], "error: no-up has no up.sql"),
        ("meta", &[("up.sql", "SELECT 1;\n\\i other.sql\n")], "error: meta/up.sql: line 2"),
        (
            "key",
            &[("up.sql", "SELECT 1;"), ("migration.toml", "tabel = \"u\"\n")],
            "error: key/migration.toml:1:1",
        ),
        (
            "stray",
            &[("up.sql", "SELECT 1;"), ("dwon.sql", "")],
            "error: stray/dwon.sql is not a file of a migration",
        ),
        ("Bäd", &[("up.sql", "SELECT 1;")], "error: Bäd can't name a migration"),
    ];
    for (name, files, expected) in cases {
        let directory = home.migration(name, files);
        for command in ["plan", "deploy"] {
            let ran = home.run(&[command, &directory]);
            assert_eq!(ran.code, 2, "{}", ran.stderr);
            assert!(ran.stderr.starts_with(expected), "{}", ran.stderr);
        }
    }
    let ran = home.run(&["deploy", "absent"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with("error: could not read absent: No such file"), "{}", ran.stderr);
}

#[test]
fn what_is_wrong_with_another_tools_directory_is_said_without_any_server() {
    let home = Home::new();
    let cases: [(&str, Files, &str); 5] = [
        (
            "meta",
            &[("1_a.sql", "\u{feff}-- +goose Up\r\n-- a comment\r\n\\i other.sql\r\n")],
            "error: meta/1_a.sql: line 3: \\i is a command of psql's own",
        ),
        (
            "twice",
            &[("1_a.up.sql", "SELECT 1;"), ("01_b.up.sql", "SELECT 1;")],
            "error: twice/01_b.up.sql and twice/1_a.up.sql have the same version; give one of them another",
        ),
        (
            "stray",
            &[("V1__a.sql", "SELECT 1;"), ("2_b.sql", "SELECT 1;")],
            "error: stray/2_b.sql belongs to no migration: the files of flyway are",
        ),
        (
            "both",
            &[("V1__a.sql", "SELECT 1;"), ("2_b.up.sql", "SELECT 1;")],
            "error: both could be several things: golang-migrate (by both/2_b.up.sql), flyway (by both/V1__a.sql); say \
             which with --layout",
        ),
        ("none", &[("README.md", "")], "error: none holds no migration; give a directory with up.sql"),
    ];
    for (name, files, expected) in cases {
        let directory = home.migration(name, files);
        for command in ["plan", "deploy"] {
            let ran = home.run(&[command, &directory]);
            assert_eq!(ran.code, 2, "{}", ran.stderr);
            assert!(ran.stderr.starts_with(expected), "{}", ran.stderr);
        }
    }
    let forced = home.run(&["plan", "both", "--layout", "flyway"]);
    assert!(forced.stderr.starts_with("error: both/2_b.up.sql belongs to no migration"), "{}", forced.stderr);
    assert_eq!(home.run(&["plan", "both", "--layout", "rails"]).code, 2);
}

#[test]
fn statements_are_shown_with_their_places() {
    let home = Home::new();
    let sql = "\u{feff}CREATE TYPE m AS ENUM ('ä');\n-- why\nCREATE INDEX CONCURRENTLY i ON t (a) ;\n\
               DO $$ BEGIN COMMIT; END $$;\nALTER TYPE o ADD VALUE 'x';\nINSERT INTO t VALUES ('x')";
    home.migration("sql", &[("a.sql", sql), ("bad.sql", "SELECT 1;\n\\i b.sql\n")]);
    let ran = home.run(&["statements", "sql/a.sql"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    insta::assert_snapshot!(ran.stdout, @r"
    line 1  3..31     CREATE TYPE                in a transaction by itself
    line 3  40..76    CREATE INDEX CONCURRENTLY  on its own: CREATE INDEX CONCURRENTLY commits between its phases, so that it never blocks readers and writers for long
    line 4  79..105   DO                         on its own: the DO block commits by itself
    line 5  107..133  ALTER TYPE ... ADD VALUE   in a transaction by itself
    line 6  135..161  INSERT                     on its own: it uses the enum value 'x', which line 5 adds and which has to be committed first
    ");
    let ran = home.run(&["statements", "sql/a.sql", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let statements = answer["statements"].as_array().unwrap();
    let text = |s: &serde_json::Value| {
        let at = |key: &str| usize::try_from(s[key].as_u64().unwrap()).unwrap();
        sql[at("start")..at("end")].to_owned()
    };
    assert_eq!(text(&statements[0]), "CREATE TYPE m AS ENUM ('ä')");
    assert_eq!(text(&statements[1]), "CREATE INDEX CONCURRENTLY i ON t (a)");
    assert_eq!((&statements[1]["line"], &statements[1]["in_transaction"]), (&3.into(), &false.into()));
    assert!(statements[0]["reason"].is_null());
    assert_eq!(answer["one_transaction"], serde_json::json!(false));

    for (file, expected) in [
        ("sql/bad.sql", "error: sql/bad.sql: line 2: \\i is a command of psql's own"),
        ("absent.sql", "error: could not read absent.sql: No such file"),
    ] {
        let ran = home.run(&["statements", file]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        assert!(ran.stderr.starts_with(expected), "{}", ran.stderr);
    }
}

#[test]
fn what_shares_a_transaction_is_shown() {
    let home = Home::new();
    let sql = "SET ROLE a;\nBEGIN;\nLOCK TABLE t;\nUPDATE t SET a = 1;\nCOMMIT;\nVACUUM t;\nBEGIN;\nSELECT 1;\nEND;\nBEGIN; COMMIT;";
    let refused = "VACUUM t;\nLOCK TABLE t;";
    home.migration("sql", &[("a.sql", sql), ("one.sql", "SELECT 1;\nSELECT 2;"), ("refused.sql", refused)]);
    insta::assert_snapshot!(home.run(&["statements", "sql/a.sql"]).stdout, @r"
    line 1   0..10     SET         in a transaction by itself
    line 2   12..17    BEGIN       in transaction 2
    line 3   19..31    LOCK TABLE  in transaction 2
    line 4   33..51    UPDATE      in transaction 2
    line 5   53..59    COMMIT      in transaction 2
    line 6   61..69    VACUUM      on its own: PostgreSQL refuses VACUUM inside a transaction
    line 7   71..76    BEGIN       in transaction 4
    line 8   78..86    SELECT      in transaction 4
    line 9   88..91    COMMIT      in transaction 4
    line 10  93..98    BEGIN       in a transaction
    line 10  100..106  COMMIT      in a transaction
    ");
    insta::assert_snapshot!(home.run(&["statements", "sql/refused.sql"]).stdout, @r"
    line 1  0..8    VACUUM      on its own: PostgreSQL refuses VACUUM inside a transaction
    line 2  10..22  LOCK TABLE  in a transaction
    a migration with this file is refused: line 2: LOCK TABLE lets its lock go at once, since it stands alone: line 1 keeps the file from running in one transaction (PostgreSQL refuses VACUUM inside a transaction); put BEGIN; and COMMIT; around the statements that belong together
    ");
    let answer: serde_json::Value =
        serde_json::from_str(&home.run(&["statements", "sql/a.sql", "--json"]).stdout).unwrap();
    let numbers: Vec<_> =
        answer["statements"].as_array().unwrap().iter().map(|s| s["transaction"].as_u64()).collect();
    let (one, two, three, four) = (Some(1), Some(2), Some(3), Some(4));
    assert_eq!(numbers, [one, two, two, two, two, three, four, four, four, None, None]);
    let answer: serde_json::Value =
        serde_json::from_str(&home.run(&["statements", "sql/one.sql", "--json"]).stdout).unwrap();
    assert_eq!(
        (&answer["one_transaction"], &answer["statements"][1]["transaction"]),
        (&true.into(), &1.into())
    );
}

#[test]
fn what_is_wrong_with_a_pipeline_is_said_without_any_server() {
    let home = Home::new();
    fs::write(
        home.path().join("p.toml"),
        "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nsaok = \"1h\"\n",
    )
    .unwrap();
    let ran = home.run(&["pipeline", "apply", "p.toml"]);
    assert_eq!(ran.code, 2);
    // Which keys there are is no matter here.
    let (said, keys) = ran.stderr.split_once(", expected one of ").unwrap();
    let (keys, way_out) = keys.split_once('\n').unwrap();
    assert!(keys.starts_with("`environment`, `databases`, `soak`"), "{keys}");
    insta::assert_snapshot!(format!("{said}\n{way_out}"), @r#"
    error: p.toml:4:1: unknown field `saok`
    4 | saok = "1h"
      | ^
    hint: did you mean `soak`?
    "#);
    let stage = "[[stage]]\nenvironment = \"staging\"\n[stage.lint]\nallow = [\"all\", \"ban-drop-colum\"]\n";
    fs::write(home.path().join("p.toml"), format!("name = \"p\"\n{stage}")).unwrap();
    let ran = home.run(&["pipeline", "apply", "p.toml"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: p.toml:5:17: no rule is called `ban-drop-colum`
    5 | allow = ["all", "ban-drop-colum"]
      |                 ^
    hint: did you mean `ban-drop-column`?
    "#);
}

#[test]
fn of_several_pipelines_nothing_is_sent_before_all_of_them_make_sense() {
    let home = Home::new();
    let stage = "[[stage]]\nenvironment = \"staging\"\n";
    fs::write(home.path().join("a.toml"), format!("name = \"p\"\n{stage}")).unwrap();
    fs::write(home.path().join("b.toml"), format!("name = \"p\"\n{stage}soak = \"1h\"\n")).unwrap();
    let ran = home.run(&["apply", "-f", "a.toml", "-f", "b.toml"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @"error: a.toml and b.toml both hold the pipeline p; leave one out");
    let ran = home.run(&["apply", "-f", "a.toml", "-f", "c.toml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.starts_with("error: could not read the pipeline c.toml"), "{}", ran.stderr);
}

#[test]
fn a_configuration_with_a_typo_is_shown_in_its_place() {
    let home = Home::new();
    fs::create_dir_all(home.path().join(".config/stopover")).unwrap();
    fs::write(home.path().join(".config/stopover/config.toml"), "sever = \"https://h\"\n").unwrap();
    let ran = home.run(&["list"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("config.toml:1:1: unknown field `sever`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: did you mean `server`?"), "{}", ran.stderr);
}

#[test]
fn completions_are_made_for_each_shell() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = home.run(&["completions", shell]);
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains("stopover") && ran.stdout.contains("rollback"), "{shell}");
    }
}

#[test]
fn colours_only_when_they_are_wanted() {
    let home = Home::new();
    assert!(!home.run(&["list"]).stderr.contains('\u{1b}'));
    assert!(home.run(&["list", "--color", "always"]).stderr.contains('\u{1b}'));
    assert!(!home.run(&["list", "--color", "never"]).stderr.contains('\u{1b}'));
}

#[test]
fn dev_says_what_is_missing_before_it_starts_anything() {
    let home = Home::new();
    let ran = home.run(&["dev", "--exit-after-deploy", "absent"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("absent"), "{}", ran.stderr);
}
