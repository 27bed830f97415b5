//! `stopover dev`: everything on one machine, and nothing of it left behind.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use stopover_tests::eventually;
use stopover_tests::process::program;
use stopover_tests::stack::sample;

fn dev(temporary: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program("stopover"));
    command
        .arg("dev")
        .args(args)
        .env("TMPDIR", temporary)
        .env("HOME", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What is below the directory, and which processes still name it.
fn left_behind(temporary: &Path) -> Vec<String> {
    let files = std::fs::read_dir(temporary).unwrap().map(|f| f.unwrap().path().display().to_string());
    let path = temporary.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let directory = entry.unwrap().path();
        let line = std::fs::read(directory.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(&path).then(|| format!("{} {line}", directory.display()))
    });
    files.chain(processes).collect()
}

async fn assert_nothing_left(temporary: &Path) {
    eventually("that nothing is left behind", || async {
        let left = left_behind(temporary);
        left.is_empty().then_some(()).or_else(|| {
            eprintln!("still there: {left:#?}");
            None
        })
    })
    .await;
}

#[tokio::test]
async fn the_demo_goes_to_production_and_back_and_leaves_nothing() {
    let temporary = tempfile::Builder::new().prefix("stopover-dev-test-").tempdir().unwrap();
    let users = ["--users-staging", "1000", "--users-production", "100000"];
    let sample = sample();
    let args = [&["--exit-after-deploy", &sample], &users[..]].concat();
    let mut command = dev(temporary.path(), &args);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    for wanted in
        ["up.batch.sql", "100,000", "rolled back", "the schema is as it was before", "Where to look next"]
    {
        assert!(printed.contains(wanted), "{wanted} in {printed}");
    }
    assert_nothing_left(temporary.path()).await;
}

#[tokio::test]
async fn interrupted_or_killed_it_leaves_nothing() {
    for signal in [Signal::INT, Signal::KILL] {
        let temporary = tempfile::Builder::new().prefix("stopover-dev-test-").tempdir().unwrap();
        let mut child =
            dev(temporary.path(), &["--users-staging", "100", "--users-production", "100"]).spawn().unwrap();
        // Both clusters are there, at the least.
        eventually("the databases", || async {
            let postgres = left_behind(temporary.path()).into_iter().filter(|line| line.contains("postgres"));
            (postgres.count() >= 2).then_some(())
        })
        .await;
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
        assert_nothing_left(temporary.path()).await;
    }
}
