//! The directory in which everything of one `stopover dev` lies.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::output::Output;
use crate::render::line::Line;

#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    /// Removed at the end; None where it stays.
    temporary: Option<tempfile::TempDir>,
}

impl Home {
    /// A directory that somebody named stays; a temporary one only where it is to be kept.
    pub(super) fn make(named: Option<&Path>, keep: bool) -> Result<Self, Failure> {
        let home = if let Some(path) = named {
            Self { path: empty_directory(path)?, temporary: None }
        } else {
            let made = tempfile::Builder::new()
                .prefix("stopover-dev-")
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir();
            let made =
                made.map_err(|e| Failure::failed("could not make a temporary directory").because(&e))?;
            let path = made.path().to_owned();
            if keep {
                Self { path: made.keep(), temporary: None }
            } else {
                Self { path, temporary: Some(made) }
            }
        };
        home.directory("logs")?;
        Ok(home)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    pub(super) fn token_file(&self) -> PathBuf {
        self.join("admin-token")
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.join("server/ca.pem")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.join("config.toml")
    }

    pub(super) fn config_of(&self, person: &str) -> PathBuf {
        self.join(&format!("{person}.toml"))
    }

    pub(super) fn agent(&self, environment: &str) -> PathBuf {
        self.path.join("agents").join(environment)
    }

    pub(super) fn backups(&self, environment: &str) -> PathBuf {
        self.agent(environment).join("backups")
    }

    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.join(name);
        make_private(&path)?;
        Ok(path)
    }

    pub(super) fn remove(self, output: Output) {
        match self.temporary.map(tempfile::TempDir::close) {
            None => output.note(&Line::new().plain(format!("everything stays in {}", self.path.display()))),
            Some(Ok(())) => {}
            Some(Err(error)) => {
                let text = format!("could not remove {}: {error}", self.path.display());
                output.note(&Line::new().plain(text));
            }
        }
    }
}

/// For our eyes only: passwords are in some of them.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        make_private(parent)?;
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::failed(format!("could not write {}", path.display())).because(&error))
}

fn empty_directory(path: &Path) -> Result<PathBuf, Failure> {
    let failed =
        |error: &std::io::Error| Failure::usage(format!("could not use {}", path.display())).because(error);
    make_private(path)?;
    if fs::read_dir(path).map_err(|e| failed(&e))?.next().is_some() {
        let message = format!("{} is not empty", path.display());
        return Err(Failure::usage(message).with_hint("name a new directory with --dir"));
    }
    path.canonicalize().map_err(|e| failed(&e))
}

fn make_private(path: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        Failure::failed(format!("could not make the directory {}", path.display())).because(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn a_named_directory_must_be_empty_and_is_never_removed() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("new/dev");
        let home = Home::make(Some(&path), false).unwrap();
        assert!(!home.is_temporary());
        assert_eq!(
            Home::make(Some(&path), false).unwrap_err().exit,
            Exit::Usage,
            "it holds the first one's logs"
        );
        drop(home);
        assert!(path.is_dir());
    }

    #[test]
    fn a_temporary_one_goes_even_when_nobody_removes_it() {
        let home = Home::make(None, false).unwrap();
        let path = home.path().to_owned();
        write_private(&home.join("a/secret"), "x").unwrap();
        drop(home);
        assert!(!path.exists());
        let kept = Home::make(None, true).unwrap();
        let path = kept.path().to_owned();
        drop(kept);
        assert!(path.is_dir());
        fs::remove_dir_all(path).unwrap();
    }
}
