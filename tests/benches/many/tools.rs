//! The other tools: found on the PATH, or installed once into a directory of the benchmark's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::migrations::Written;
use super::place::{Place, run};
use stopover_tests::bench::say;

/// Something that applies a directory of migrations.
pub(crate) enum Tool {
    /// One session and one file: the least that anything can do.
    Psql,
    Dbmate(PathBuf),
    Sqlx(PathBuf),
}

/// What is on this machine, or can be had.
pub(crate) fn found() -> Vec<Tool> {
    let home = home();
    let dbmate = home.join("node_modules/.bin/dbmate");
    let npm = || {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&home).arg("dbmate");
        npm
    };
    let sqlx = home.join("bin/sqlx");
    let cargo = || {
        let mut cargo = Command::new("cargo");
        cargo.args([
            "install",
            "--quiet",
            "--no-default-features",
            "--features",
            "postgres,rustls",
            "--root",
        ]);
        cargo.arg(&home).arg("sqlx-cli");
        cargo
    };
    [
        Some(Tool::Psql),
        have("dbmate", dbmate, npm).map(Tool::Dbmate),
        have("sqlx", sqlx, cargo).map(Tool::Sqlx),
    ]
    .into_iter()
    .flatten()
    .collect()
}

impl Tool {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Psql => "psql, one session",
            Self::Dbmate(_) => "dbmate",
            Self::Sqlx(_) => "sqlx",
        }
    }

    /// psql runs what it is given, and keeps no history.
    pub(crate) fn has_no_op(&self) -> bool {
        !matches!(self, Self::Psql)
    }

    pub(crate) fn run(&self, place: &Place, written: &Written) {
        match self {
            Self::Psql => run(place.psql().arg("-f").arg(&written.psql)),
            Self::Dbmate(program) => {
                let url = ["--no-dump-schema", "--url", &place.url(), "--migrations-dir"].map(str::to_owned);
                run(Command::new(program).args(url).arg(&written.dbmate).arg("migrate"));
            }
            Self::Sqlx(program) => {
                let url = ["migrate", "run", "--database-url", &place.url(), "--source"].map(str::to_owned);
                run(Command::new(program).args(url).arg(&written.sqlx));
            }
        }
    }
}

/// `target/bench-tools`, beside the profile that this was built in.
fn home() -> PathBuf {
    let bench = std::env::current_exe().expect("a benchmark has a path");
    bench.ancestors().nth(3).expect("target/PROFILE/deps/many-HASH").join("bench-tools")
}

fn have(name: &str, installed: PathBuf, install: impl FnOnce() -> Command) -> Option<PathBuf> {
    if installed.is_file() {
        return Some(installed);
    }
    if let Some(program) = on_path(name) {
        return Some(program);
    }
    say(&format!("{name} is not here; installing it once into {}", home().display()));
    std::fs::create_dir_all(home()).expect("a directory");
    let done = install().stdin(Stdio::null()).stdout(Stdio::null()).status();
    if done.is_ok_and(|status| status.success()) && installed.is_file() {
        return Some(installed);
    }
    say(&format!("{name} can't be installed here, and is left out"));
    None
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory: PathBuf| directory.join(name))
        .find(|p: &PathBuf| is_program(p))
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
