//! Makes the files of one cluster and starts its server. Knows nothing of guards and sharing.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::ClusterError;
use crate::binaries::Programs;
use crate::owner::{self, ServerUser};

const START_DEADLINE: Duration = Duration::from_mins(1);
const PORT_TRIES: usize = 20;

/// A cluster's directory and what it takes to run a server in it.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) programs: Programs,
    pub(crate) user: Option<ServerUser>,
    pub(crate) root: PathBuf,
}

impl Launch {
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("server.log")
    }

    /// Makes the data directory, with `postgres` as the superuser and passwords asked from everybody.
    pub(crate) async fn initdb(&self, password: &str) -> Result<(), ClusterError> {
        let secret = self.root.join("password");
        self.write_private(&secret, password)?;
        let mut output = self.run_initdb(&secret, "C.UTF-8").await?;
        if !output.status.success() && !self.data().exists() {
            // A system without that locale: plain C orders alike.
            output = self.run_initdb(&secret, "C").await?;
        }
        fs::remove_file(&secret).map_err(ClusterError::file("remove", &secret))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(ClusterError::Initdb {
            directory: self.root.clone(),
            output: String::from_utf8_lossy(&said).into_owned(),
        })
    }

    async fn run_initdb(&self, secret: &Path, locale: &str) -> Result<Output, ClusterError> {
        let mut command = owner::command(self.user, &self.programs.initdb, &self.root);
        command
            .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"])
            .arg(format!("--locale={locale}"))
            .arg(format!("--pwfile={}", secret.display()))
            .arg(format!("--pgdata={}", self.data().display()))
            .stdin(Stdio::null());
        let output = tokio::process::Command::from(command).kill_on_drop(true).output().await;
        output.map_err(|source| ClusterError::Program { program: self.programs.initdb.clone(), source })
    }

    /// Makes the data directory as a copy of a running server's, to follow it as a standby.
    pub(crate) async fn copy_of(&self, port: u16, password: &str) -> Result<(), ClusterError> {
        let program = self.programs.beside_postgres("pg_basebackup");
        let mut command = owner::command(self.user, &program, &self.root);
        command
            .args([
                "--host=127.0.0.1",
                "--username=postgres",
                "--checkpoint=fast",
                "--no-sync",
                "--write-recovery-conf",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--pgdata={}", self.data().display()))
            .env("PGPASSWORD", password)
            .stdin(Stdio::null());
        let output = tokio::process::Command::from(command).kill_on_drop(true).output().await;
        let output = output.map_err(|source| ClusterError::Program { program, source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(ClusterError::Copy { directory: self.root.clone(), output: said })
    }

    pub(crate) fn configure(&self, settings: &[(String, String)]) -> Result<(), ClusterError> {
        let path = self.data().join("postgresql.conf");
        let failed = ClusterError::file("write", &path);
        let lines =
            settings.iter().map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")));
        let text: String = lines.collect();
        OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(failed)
    }

    pub(crate) fn write_private(&self, path: &Path, text: &str) -> Result<(), ClusterError> {
        OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(ClusterError::file("write", path))?;
        owner::hand_over(self.user, path)
    }

    /// Starts the server on a port that is free, trying others when somebody is faster.
    pub(crate) async fn start(&self) -> Result<(Child, u16), ClusterError> {
        let mut tries = 0;
        loop {
            let port = free_port()?;
            tries += 1;
            match self.start_on(port).await {
                Ok(child) => return Ok((child, port)),
                Err(ClusterError::Start { log, .. }) if port_was_taken(&log) && tries < PORT_TRIES => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts the server on this port and waits until it accepts connections.
    pub(crate) async fn start_on(&self, port: u16) -> Result<Child, ClusterError> {
        let log = OpenOptions::new().create(true).append(true).open(self.log());
        let log = log.map_err(ClusterError::file("open", &self.log()))?;
        let begins_at = log.metadata().map_or(0, |found| found.len());
        let mut child = self.spawn(port, log)?;
        let deadline = Instant::now() + START_DEADLINE;
        loop {
            if self.is_ready(child.id()) {
                return Ok(child);
            }
            let reason = match child.try_wait() {
                Ok(None) if Instant::now() < deadline => {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                }
                Ok(None) => format!("not ready within {} s", START_DEADLINE.as_secs()),
                Ok(Some(status)) => status.to_string(),
                Err(error) => error.to_string(),
            };
            let _ = child.kill();
            let _ = child.wait();
            return Err(ClusterError::Start { reason, log: tail(&self.log(), begins_at) });
        }
    }

    fn spawn(&self, port: u16, log: File) -> Result<Child, ClusterError> {
        let mut command = owner::command(self.user, &self.programs.postgres, &self.root);
        let both = log.try_clone().map_err(ClusterError::file("open", &self.log()))?;
        command.arg("-D").arg(self.data()).arg("-p").arg(port.to_string());
        command.stdin(Stdio::null()).stdout(log).stderr(both);
        command
            .spawn()
            .map_err(|source| ClusterError::Program { program: self.programs.postgres.clone(), source })
    }

    /// The server says so on the eighth line of its pid file; no connection is needed to ask.
    fn is_ready(&self, pid: u32) -> bool {
        fs::read_to_string(self.data().join("postmaster.pid")).is_ok_and(|text| {
            let mut lines = text.lines();
            lines.next().is_some_and(|line| line == pid.to_string())
                && lines.nth(6).is_some_and(|line| matches!(line.trim(), "ready" | "standby"))
        })
    }
}

/// The last lines of a log from `begins_at` on: what a person needs to see in an error.
pub(crate) fn tail(log: &Path, begins_at: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let begin = usize::try_from(begins_at).unwrap_or(usize::MAX).min(bytes.len());
    let text = String::from_utf8_lossy(&bytes[begin..]);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn free_port() -> Result<u16, ClusterError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| ClusterError::Start {
            reason: format!("no free port: {source}"),
            log: String::new(),
        })
}

fn port_was_taken(log: &str) -> bool {
    log.contains("could not bind") || log.contains("could not create any TCP/IP sockets")
}
