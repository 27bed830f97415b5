//! The real program, in what it does without a server: help, usage, bad input, nobody at the address.

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
            fs::write(directory.join(file), text).expect("a file");
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
        ("Bäd", &[("up.sql", "SELECT 1;")], "error: Bäd can't be a migration's directory"),
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
fn what_is_wrong_with_a_pipeline_is_said_without_any_server() {
    let home = Home::new();
    fs::write(
        home.path().join("p.toml"),
        "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nsaok = \"1h\"\n",
    )
    .unwrap();
    let ran = home.run(&["pipeline", "apply", "p.toml"]);
    assert_eq!(ran.code, 2);
    insta::assert_snapshot!(ran.stderr, @r#"
    error: p.toml:4:1: unknown field `saok`, expected one of `environment`, `databases`, `soak`, `backup`, `on_failure`, `lock_timeout`, `approvals`, `approvers`, `window`, `freeze`, `rehearse`, `hook`, `checklist`
    4 | saok = "1h"
      | ^
    hint: did you mean `soak`?
    "#);
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
