//! Private files for the time of one dump. The password goes to `pg_dump` in one, never as an argument or a variable.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use stopover_model::report::{ErrorClass, StepError};

/// A file that only this user can read; removed when it is dropped.
#[derive(Debug)]
pub(super) struct SecretFile {
    path: PathBuf,
}

impl SecretFile {
    /// A password file as libpq reads it, for whatever the one client that gets it connects to.
    pub(super) fn password(directory: &Path, password: &str) -> Result<Self, StepError> {
        if password.contains(['\n', '\r', '\0']) {
            let message =
                "the database's password holds a line break, which PostgreSQL's password files can't";
            return Err(
                StepError::new(ErrorClass::Setup, message).with_hint("give the role another password")
            );
        }
        Self::write(directory, "passfile", &format!("*:*:*:*:{}\n", escaped(password)))
    }

    pub(super) fn write(directory: &Path, kind: &str, text: &str) -> Result<Self, StepError> {
        let file = Self { path: directory.join(format!("{kind}-{}", uuid::Uuid::new_v4())) };
        file.fill(text).map_err(|error| {
            let message = format!("could not write a private file in {}: {error}", directory.display());
            StepError::new(ErrorClass::Setup, message)
                .with_hint("let the agent's user write to its state directory")
        })?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn fill(&self, text: &str) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(text.as_bytes())
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        // What can't be removed now is removed when the agent starts again.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn escaped(field: &str) -> String {
    field.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_is_private_escaped_and_gone_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let file = SecretFile::password(directory.path(), r"a:b\c").unwrap();
        let path = file.path().to_owned();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "*:*:*:*:a\\:b\\\\c\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_password_that_would_be_cut_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = SecretFile::password(directory.path(), "first\nsecond").unwrap_err();
        assert!(!error.message.contains("second") && error.message.contains("line break"), "{error:?}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
