//! A running `pg_dump` or `pg_restore`: started with nothing of this process's environment, stopped in order.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use stopover_model::report::{ErrorClass, StepError};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::postgres::shown;

/// What is kept of what a program says: its end, which tells why it failed.
const LAST_WORDS: usize = 2_000;
/// For a program that was asked to end.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Program {
    pub(crate) child: Child,
    name: &'static str,
    words: JoinHandle<String>,
}

/// How a program ended, and the last that it said.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) words: String,
}

impl Program {
    /// Starts it; dropping it kills it.
    pub(crate) fn start(
        name: &'static str,
        path: &Path,
        arguments: &[&OsStr],
        environment: &[(&str, std::ffi::OsString)],
        (input, output): (Stdio, Stdio),
    ) -> Result<Self, StepError> {
        let mut command = Command::new(path);
        command.args(arguments).env_clear().env("LC_ALL", "C").envs(environment.iter().map(|(k, v)| (k, v)));
        command.current_dir("/").stdin(input).stdout(output).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| {
            let message = format!("could not run {}: {error}", path.display());
            StepError::new(ErrorClass::Setup, message)
                .with_hint(format!("set {name} in agent.toml to its path"))
        })?;
        let errors = child.stderr.take();
        let words = tokio::spawn(async move { last(&end_of(errors, LAST_WORDS).await) });
        Ok(Self { child, name, words })
    }

    pub(crate) async fn wait(mut self) -> Result<Ended, StepError> {
        let status = self.child.wait().await.map_err(|error| {
            StepError::new(ErrorClass::Internal, format!("could not wait for {}: {error}", self.name))
        })?;
        let words = (&mut self.words).await.unwrap_or_default();
        Ok(Ended { status, words })
    }

    /// Asks it to end, which lets it cancel its query, and insists when it does not.
    pub(crate) async fn stop(mut self) {
        stop(&mut self.child, PATIENCE).await;
    }
}

/// Asks it to end, and insists when it has not for so long.
pub(super) async fn stop(child: &mut Child, patience: Duration) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
        // It may have ended by itself meanwhile; it stays a zombie of ours until it is waited for.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(patience, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// What it says, to its end: of much that, so many bytes of the end at least.
pub(super) async fn end_of(stream: Option<impl AsyncRead + Unpin>, longest: usize) -> String {
    let Some(mut stream) = stream else { return String::new() };
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 {
            break;
        }
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * longest {
            kept.drain(..kept.len() - longest);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// The last of it, to be shown.
pub(super) fn last(said: &str) -> String {
    let said = said.trim();
    let skipped = said.chars().count().saturating_sub(LAST_WORDS);
    shown(&said.chars().skip(skipped).collect::<String>(), LAST_WORDS)
}
