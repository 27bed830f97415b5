//! A backup that is being written, until it gets its name or goes away.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::files::{remove, sync_directory};
use super::manifest::Manifest;
use super::names::{DIRECTORY, DUMP, ENCRYPTED, LOG, MANIFEST, Names, PARTIAL};

/// The file `NAME.dump.zst.partial`, say, or the directory `NAME.dump.dir.partial`, removed when it is dropped unpublished.
#[derive(Debug)]
pub(crate) struct Partial {
    directory: PathBuf,
    stem: String,
    path: PathBuf,
    /// Of its final name.
    ending: String,
    file: Option<std::fs::File>,
}

impl Partial {
    /// Makes an empty file of a name that nothing has yet.
    pub(crate) fn create(
        directory: &Path,
        names: &Names,
        time: Timestamp,
        ending: &'static str,
    ) -> io::Result<Self> {
        let open =
            |path: &Path| OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(Some);
        Self::make(directory, names, time, ending, open)
    }

    /// The same of an empty directory.
    pub(crate) fn create_directory(directory: &Path, names: &Names, time: Timestamp) -> io::Result<Self> {
        let make = |path: &Path| std::fs::DirBuilder::new().mode(0o700).create(path).map(|()| None);
        Self::make(directory, names, time, DIRECTORY, make)
    }

    fn make(
        directory: &Path,
        names: &Names,
        time: Timestamp,
        ending: &'static str,
        make: impl Fn(&Path) -> io::Result<Option<std::fs::File>>,
    ) -> io::Result<Self> {
        let mut time = time;
        loop {
            let stem = names.at(time);
            let path = directory.join(format!("{stem}{ending}{PARTIAL}"));
            let taken = [DUMP, DIRECTORY, LOG, MANIFEST]
                .iter()
                .any(|e| directory.join(format!("{stem}{e}")).symlink_metadata().is_ok());
            if !taken {
                match make(&path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    file => {
                        let file = file?;
                        let (directory, ending) = (directory.to_owned(), ending.to_owned());
                        return Ok(Self { directory, stem, path, ending, file });
                    }
                }
            }
            time = time.saturating_add(Duration::from_secs(1)).map_err(io::Error::other)?;
        }
    }

    /// The open file, once.
    pub(crate) fn take_file(&mut self) -> io::Result<tokio::fs::File> {
        self.take_std_file().map(tokio::fs::File::from_std)
    }

    pub(crate) fn take_std_file(&mut self) -> io::Result<std::fs::File> {
        self.file.take().ok_or_else(|| io::Error::other("the file was taken before"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It gets the name of an encrypted one.
    pub(crate) fn encrypted(mut self) -> Self {
        self.ending = format!("{DUMP}{ENCRYPTED}");
        self
    }

    pub(crate) fn final_name(&self) -> String {
        format!("{}{}", self.stem, self.ending)
    }

    /// Gives the file its final name, behind its manifest.
    pub(crate) fn publish(self, manifest: &Manifest) -> io::Result<()> {
        let beside = self.directory.join(format!("{}{MANIFEST}", self.stem));
        manifest.write(&beside)?;
        if let Err(error) = rename_new(&self.path, &self.directory.join(self.final_name())) {
            let _ = std::fs::remove_file(beside);
            return Err(error);
        }
        sync_directory(&self.directory)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After publishing there is nothing of this name; what can't be removed is removed by the next attempt.
        let _ = remove(&self.path);
    }
}

/// Fails when the name is taken, also by somebody who takes it this very moment.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some network file systems can't; the name was free when the file was made, and only this agent writes here.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if to.symlink_metadata().is_err() => {
            std::fs::rename(from, to)
        }
        done => Ok(done?),
    }
}
