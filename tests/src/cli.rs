//! The command line, run as people run it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::process::{Process, program};

/// `stopover` with the settings of one server.
#[derive(Debug, Clone)]
pub struct Cli {
    pub server: String,
    pub token_file: PathBuf,
    pub ca: PathBuf,
    /// Its home, so that no configuration of the machine's user is read.
    pub home: PathBuf,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Cli {
    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it can't be started, or was killed.
    pub async fn run(&self, args: &[impl AsRef<OsStr>]) -> Finished {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output: Output = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("the command's thread")
            .expect("stopover can be started");
        finished(output)
    }

    /// Runs a command that has to do well, and gives what it printed.
    ///
    /// # Panics
    /// When it does not.
    pub async fn ok(&self, args: &[impl AsRef<OsStr>]) -> String {
        let finished = self.run(args).await;
        assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
        finished.stdout
    }

    /// Runs a command of a person who has nothing but a home, and types `stdin`.
    ///
    /// # Panics
    /// When it can't be started, or was killed.
    pub async fn at_home(&self, args: &[&str], stdin: &str) -> Finished {
        let mut command = Command::new(program("stopover"));
        command
            .env_clear()
            .env("HOME", &self.home)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let stdin = stdin.to_owned();
        let run = move || {
            let mut child = command.spawn()?;
            if let Some(mut pipe) = child.stdin.take() {
                // A command that asks nothing may be gone already.
                let _ = std::io::Write::write_all(&mut pipe, stdin.as_bytes());
            }
            child.wait_with_output()
        };
        let output: Output = tokio::task::spawn_blocking(run)
            .await
            .expect("the command's thread")
            .expect("stopover can be started");
        finished(output)
    }

    /// Starts a command of a person who has nothing but a home, and leaves it running.
    #[must_use]
    pub fn start_at_home(&self, log: &std::path::Path, args: &[&str]) -> Process {
        let mut command = Command::new(program("stopover"));
        command.env_clear().env("HOME", &self.home).args(args);
        Process::spawn("stopover", log, command)
    }

    /// Starts a command and leaves it running; what it prints goes to `log`.
    #[must_use]
    pub fn start(&self, log: &std::path::Path, args: &[&str]) -> Process {
        let mut all: Vec<&OsStr> = vec![
            "--server".as_ref(),
            self.server.as_ref(),
            "--token-file".as_ref(),
            self.token_file.as_ref(),
            "--ca".as_ref(),
            self.ca.as_ref(),
        ];
        all.extend(args.iter().map(|a| OsStr::new(*a)));
        Process::start("stopover", log, &all)
    }

    fn command(&self, args: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new(program("stopover"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .arg("--server")
            .arg(&self.server)
            .arg("--token-file")
            .arg(&self.token_file)
            .arg("--ca")
            .arg(&self.ca)
            .args(args)
            .stdin(Stdio::null());
        command
    }
}

impl Finished {
    /// What was printed with `--json`: one object a line.
    ///
    /// # Panics
    /// When a line is something else.
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }
}

fn finished(output: Output) -> Finished {
    Finished {
        code: output.status.code().expect("stopover was killed"),
        stdout: String::from_utf8(output.stdout).expect("stopover prints UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stopover prints UTF-8"),
    }
}

/// # Panics
/// When a line is no JSON.
#[must_use]
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}
