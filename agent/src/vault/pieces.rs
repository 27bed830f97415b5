//! Reads and removes what lies at a destination.

use std::io;
use std::path::Path;
use std::pin::Pin;

use futures::TryStreamExt as _;
use stopover_model::report::{ErrorClass, StepError};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use super::{Destination, VaultError};

pub(crate) type Bytes = Pin<Box<dyn AsyncRead + Send>>;

/// Why something can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("could not open {place}: {source}")]
    File { place: String, source: io::Error },
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Destination {
    /// The bytes of all these, one behind the other. In a directory a link is nothing that a backup could be.
    pub(crate) async fn open(&self, names: &[String]) -> Result<Bytes, Unreadable> {
        match self {
            Self::Bucket(bucket) => {
                let chunks = bucket.chunks(names).await?;
                Ok(Box::pin(StreamReader::new(Box::pin(
                    chunks.map_err(|error| io::Error::other(error.to_string())),
                ))))
            }
            Self::Directory(directory) => {
                let mut all: Bytes = Box::pin(tokio::io::empty());
                for name in names {
                    let file = regular_file(&directory.join(name));
                    let file =
                        file.map_err(|source| Unreadable::File { place: self.location(name), source })?;
                    all = Box::pin(tokio::io::AsyncReadExt::chain(all, tokio::fs::File::from_std(file)));
                }
                Ok(all)
            }
        }
    }
}

impl Destination {
    /// Removes a file or object, or the directory that a backup in several files is. One that is gone already is no error.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), StepError> {
        let directory = match self {
            Self::Bucket(bucket) => return Ok(bucket.remove(name).await?),
            Self::Directory(directory) => directory,
        };
        let path = directory.join(name);
        let removed = match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => std::fs::remove_dir_all(&path),
            Ok(_) => std::fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let message = format!("could not remove {}: {error}", path.display());
                Err(StepError::new(ErrorClass::Setup, message)
                    .with_hint("let the agent's user write to the directory"))
            }
            _ => Ok(()),
        }
    }
}

/// Opens a file that is one itself.
pub(crate) fn regular_file(path: &Path) -> io::Result<std::fs::File> {
    use rustix::fs::{Mode, OFlags};
    let file = rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
    );
    let file: std::fs::File = match file {
        Err(rustix::io::Errno::LOOP) => {
            return Err(io::Error::other("it is a link, which a backup never is"));
        }
        file => file?.into(),
    };
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no file")) }
}
