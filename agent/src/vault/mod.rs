//! Where backups lie: a directory of this machine or a bucket of an object store; and to whom they are encrypted.
//!
//! Knows names and bytes. What a backup holds, and how far it was proven, is not known here.
//!
//! ```text
//! NAME.uploading (claims the name) -> NAME.dump.zst in parts -> read back -> NAME.json -> NAME.uploading goes
//! ```

mod bucket;
mod crypt;
mod open;
mod pieces;
mod problem;
#[cfg(test)]
pub(crate) mod tests;
mod upload;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use bucket::Bucket;
pub(crate) use crypt::{FileKey, Header, decrypted, encrypt};
pub use crypt::{InvalidRecipient, Recipients};
pub use open::{InvalidDestination, OptionValue, Options};
pub(crate) use pieces::regular_file;
pub(crate) use problem::VaultError;
pub(crate) use upload::{Claim, UploadError, sweep};

/// What agent.toml says of where backups go, who can read them, and how long they stay.
#[derive(Debug, Clone)]
pub struct Vault {
    pub destination: Destination,
    /// Empty: backups are not encrypted.
    pub recipients: Recipients,
    pub retention: Retention,
}

#[derive(Debug, Clone)]
pub enum Destination {
    Directory(PathBuf),
    Bucket(Arc<Bucket>),
}

/// Which backups stay; where it says nothing, all of them do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// So many of each database, the newest.
    pub keep: Option<u32>,
    pub keep_for: Option<Duration>,
}

impl Vault {
    /// A directory, in which everything stays and nothing is encrypted.
    #[must_use]
    pub fn directory(path: PathBuf) -> Self {
        Self {
            destination: Destination::Directory(path),
            recipients: Recipients::default(),
            retention: Retention::default(),
        }
    }

    /// A dump goes there as it is made: there is no file of it on this machine that could be looked at afterwards, or it
    /// could not be read.
    pub(crate) fn streams(&self) -> bool {
        matches!(self.destination, Destination::Bucket(_)) || !self.recipients.is_empty()
    }
}

impl Destination {
    /// Where something of this name lies, for people.
    pub(crate) fn location(&self, name: &str) -> String {
        match self {
            Self::Directory(directory) => directory.join(name).display().to_string(),
            Self::Bucket(bucket) => bucket.location(name),
        }
    }
}
