//! A sign-in that lies in contexts.toml: renewed in time, by one process at a time, and written back.
//!
//! A refresh token is good once with many providers: two that use the same one look like theft, and end the sign-in.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::SignIn;
use super::tokens::{Renewed, renew};
use crate::contexts::Contexts;
use crate::failure::Failure;
use crate::render::number::stamp;

const LOCK: &str = "contexts.lock";
/// Longer than a renewal by somebody else takes.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Where it lies, and what it was when it was last read.
#[derive(Debug, Clone)]
pub struct Kept {
    pub sign_in: SignIn,
    /// Of contexts.toml.
    pub directory: PathBuf,
    pub context: String,
}

impl Kept {
    /// Renews it where that is due.
    pub async fn freshen(&mut self) -> Result<(), Failure> {
        if Timestamp::now() < self.sign_in.due_at() {
            return Ok(());
        }
        let _lock = self.lock().await?;
        // Another process may have been faster.
        let mut contexts = Contexts::read(&self.directory)?;
        let there = contexts.all.get(&self.context).and_then(|saved| saved.oidc.clone());
        let Some(there) = there else {
            return Err(Failure::usage(format!("the sign-in of the context {} is gone", self.context))
                .with_hint("stopover login"));
        };
        self.sign_in = there;
        let now = Timestamp::now();
        if now < self.sign_in.due_at() {
            return Ok(());
        }
        let Some(refresh_token) = self.sign_in.refresh_token.clone() else { return self.still_good(None) };
        match renew(&self.sign_in, &refresh_token, now).await {
            Renewed::To(fresh) => {
                self.sign_in = *fresh;
                if let Some(saved) = contexts.all.get_mut(&self.context) {
                    saved.oidc = Some(self.sign_in.clone());
                }
                contexts.write(&self.directory)
            }
            Renewed::Never(failure) | Renewed::NotNow(failure) => self.still_good(Some(failure)),
        }
    }

    /// It may be good for a while, though it can't be renewed.
    fn still_good(&self, failure: Option<Failure>) -> Result<(), Failure> {
        let ends = self.sign_in.expires_at;
        if Timestamp::now() < ends {
            return Ok(());
        }
        Err(failure.unwrap_or_else(|| {
            Failure::usage(format!("the sign-in ended at {}", stamp(ends))).with_hint("stopover login")
        }))
    }

    async fn lock(&self) -> Result<File, Failure> {
        let path = self.directory.join(LOCK);
        let failed = |error: &std::io::Error| {
            Failure::failed(format!("could not lock {}", path.display())).because(error)
        };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|error| failed(&error))?;
        let begin = tokio::time::Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(failed(&error)),
                Err(TryLockError::WouldBlock) if begin.elapsed() > PATIENCE => {
                    return Err(Failure::failed(
                        "another stopover has been renewing the sign-in for too long",
                    )
                    .with_hint(format!("see who holds {}", path.display())));
                }
                Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }
}
