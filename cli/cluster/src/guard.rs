//! The process that outlives its owner to clean up. It is a shell script, so that it needs nothing that could be
//! rebuilt, moved or deleted while it waits.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::ClusterError;

const SCRIPT: &str = include_str!("guard.sh");

/// Watches over one cluster's directory. Dropping it takes the cluster down and waits until it is gone.
#[derive(Debug)]
pub(crate) struct Guard {
    directory: PathBuf,
    child: Child,
}

impl Guard {
    /// From now on the directory, and every process in it, ends with this value or with our process.
    pub(crate) fn post(directory: &Path) -> Result<Self, ClusterError> {
        let child = spawn(
            Command::new("sh").args(["-c", SCRIPT, "stopover-guard"]).arg(directory).stdin(Stdio::piped()),
        )?;
        Ok(Self { directory: directory.to_owned(), child })
    }

    /// From now on the directory ends when nobody has held a lock on its file `users` for the grace time.
    pub(crate) fn post_shared(directory: &Path, meeting: &Path, grace: Duration) -> Result<(), ClusterError> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "stopover-guard"]).arg(directory).arg(meeting);
        spawn(command.arg(grace.as_secs().to_string()).stdin(Stdio::null())).map(drop)
    }

    #[cfg(test)]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn close_and_wait(&mut self) {
        drop(self.child.stdin.take());
        // An error means that somebody else has reaped it; it is gone in any case.
        let _ = self.child.wait();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.close_and_wait();
        if self.directory.exists() {
            // The guard itself was killed: post another, which goes to work at once.
            if let Ok(mut second) = Self::post(&self.directory) {
                second.close_and_wait();
                std::mem::forget(second);
            }
        }
    }
}

fn spawn(command: &mut Command) -> Result<Child, ClusterError> {
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        // A Ctrl-C at our terminal must not reach it, and it must not keep our output open.
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| ClusterError::Program { program: "sh".into(), source })
}
