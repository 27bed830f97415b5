//! The data directory: made for the server's user alone, and used by one server at a time.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Why the data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error(
        "could not {action} `{path}`; the server needs a data directory of its own (--data-dir) that it can write"
    )]
    File {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "anybody on this machine can write in `{0}`; choose a --data-dir of the server's own, or run `chmod o-w {0}`"
    )]
    Exposed(PathBuf),
    #[error("another stopover-server uses `{0}`; stop it, or give this one a --data-dir of its own")]
    InUse(PathBuf),
}

/// Held for as long as the server runs; the system lets go of it however the server ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory where it is missing, with room for nobody else, and takes its lock.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let failed = |action| move |source| DataDirError::File { action, path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make"))?;
        let path = std::fs::canonicalize(path).map_err(failed("find"))?;
        let mode = std::fs::metadata(&path).map_err(failed("look at"))?.permissions().mode();
        // Everything in it is private by itself; this is about somebody who puts another file in its place.
        if mode & 0o002 != 0 {
            return Err(DataDirError::Exposed(path));
        }
        let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(path.join("lock"));
        let lock = lock.map_err(failed("write in"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path)),
            Err(TryLockError::Error(source)) => Err(DataDirError::File { action: "lock", path, source }),
        }
    }

    /// Absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Puts a whole file in place, readable by its owner alone, or leaves what was there.
pub fn write_private(path: &Path, content: &str) -> Result<(), DataDirError> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let write = || {
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(|source| DataDirError::File { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn one_server_at_a_time_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/data");
        let first = DataDir::open(&path).unwrap();
        let error = DataDir::open(&path).unwrap_err();
        assert!(error.to_string().contains("another stopover-server uses"), "{error}");
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn it_is_made_private_and_refused_where_anybody_writes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let data = DataDir::open(&path).unwrap();
        assert_eq!(std::fs::metadata(data.path()).unwrap().permissions().mode() & 0o777, 0o700);
        drop(data);
        std::fs::set_permissions(&path, Permissions::from_mode(0o1777)).unwrap();
        let error = DataDir::open(&path).unwrap_err();
        assert!(error.to_string().contains("chmod o-w"), "{error}");
    }

    #[test]
    fn a_private_file_replaces_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "old and longer").unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
