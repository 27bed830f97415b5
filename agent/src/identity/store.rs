//! The file that holds the identity, and the right to be the only agent that uses it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::{Identity, IdentityError};

const IDENTITY: &str = "identity.json";
const LOCK: &str = "lock";
const SCRATCH: &str = "tmp";

/// The agent's state directory.
#[derive(Debug, Clone)]
pub struct IdentityStore {
    directory: PathBuf,
}

/// What is wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not {action} {}; the agent's user must own its state directory", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not there: this agent has not joined; run `stopover-agent join`", path.display())]
    NotJoined { path: PathBuf },
    #[error("{} can be read by others, and holds the agent's key; run `chmod 600 {}`, and join again with a new token when somebody may have read it", path.display(), path.display())]
    Readable { path: PathBuf },
    #[error("{} makes no sense; join again with a new token", path.display())]
    Garbled { path: PathBuf, source: serde_json::Error },
    #[error("another agent runs with the state directory {}; stop it, or give this one its own", path.display())]
    InUse { path: PathBuf },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// Of this file: 1.
    format: u32,
    certificate: String,
    key: String,
    authority: String,
}

impl IdentityStore {
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Makes the directory where it is not there.
    pub fn create(&self) -> Result<(), StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(failed("make", &self.directory))
    }

    /// Fails where an identity could not be saved.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        tempfile::tempfile_in(&self.directory).map_err(failed("write to", &self.directory)).map(drop)
    }

    pub fn load(&self) -> Result<Identity, IdentityError> {
        let path = self.directory.join(IDENTITY);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(StoreError::NotJoined { path }.into());
            }
            text => text.map_err(failed("read", &path))?,
        };
        let mode = std::fs::metadata(&path).map_err(failed("look at", &path))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(StoreError::Readable { path }.into());
        }
        let stored: Stored =
            serde_json::from_slice(&text).map_err(|source| StoreError::Garbled { path, source })?;
        Identity::new(stored.key, stored.certificate, stored.authority)
    }

    /// Replaces the identity; a crash leaves the old one or the new one.
    pub fn save(&self, identity: &Identity) -> Result<(), StoreError> {
        let stored = Stored {
            format: 1,
            certificate: identity.certificate_pem.clone(),
            key: identity.key_pem.clone(),
            authority: identity.authority_pem.clone(),
        };
        let path = self.directory.join(IDENTITY);
        let text = serde_json::to_vec_pretty(&stored)
            .map_err(|source| StoreError::Garbled { path: path.clone(), source })?;
        replace(&self.directory, &path, &text).map_err(failed("write", &path))
    }

    /// Takes the directory for this process, until the file is dropped, and clears what a killed one left in it.
    pub fn take(&self) -> Result<File, StoreError> {
        let path = self.directory.join(LOCK);
        let mut options = OpenOptions::new();
        let file =
            options.create(true).append(true).mode(0o600).open(&path).map_err(failed("open", &path))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => StoreError::InUse { path: self.directory.clone() },
            error => failed("lock", &path)(error.into()),
        })?;
        let scratch = self.scratch();
        match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("clear", &scratch)(error));
            }
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(&scratch).map_err(failed("make", &scratch))?;
        Ok(file)
    }

    /// A private directory for files that live no longer than a step.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.directory.join(SCRATCH)
    }
}

fn replace(directory: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .prefix(".identity-")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(directory)?;
    file.write_all(text)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| StoreError::File { action, path: path.to_owned(), source }
}
