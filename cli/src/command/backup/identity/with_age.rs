//! By the crate age.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use age::secrecy::ExposeSecret as _;
use age::{DecryptError, Decryptor, Identity, IdentityFile};
use age_core::format::{FileKey, Stanza};
use stopover_model::backup::StoredBackup;

use crate::failure::Failure;

/// The file's key.
pub(super) fn key(backup: &StoredBackup, path: &Path) -> Result<Vec<u8>, Failure> {
    let identities = read(path)?;
    let opened = Decryptor::new(&backup.header[..]).map_err(|error| {
        Failure::failed(format!("the beginning of the backup {} is not that of an encrypted file", backup.id))
            .because(&error)
    })?;
    let keeping = Keeping { identities, kept: Mutex::default() };
    let decrypted = opened.decrypt(std::iter::once(&keeping as &dyn Identity));
    let kept = keeping.kept.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (decrypted, kept) {
        (Ok(_), Some(key)) => Ok(key),
        _ => Err(Failure::usage(format!(
            "the identity in {} does not open the backup {}",
            path.display(),
            backup.id
        ))
        .with_hint(format!(
            "it is encrypted to {}: use an identity of one of those",
            backup.recipients.join(", ")
        ))),
    }
}

fn read(path: &Path) -> Result<Vec<Box<dyn Identity + Send + Sync>>, Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Failure::usage(format!("could not read the identity in {}", path.display()))
            .because(error)
            .with_hint("it is a file as `age-keygen -o FILE` writes it")
    };
    let mode = std::fs::metadata(path).map_err(|error| failed(&error))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Failure::usage(format!("{} can be read by others", path.display()))
            .with_hint(format!("run `chmod 600 {}`", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let file = IdentityFile::from_buffer(text.as_bytes()).map_err(|error| failed(&error))?;
    file.into_identities().map_err(|error| failed(&error))
}

/// Opens with what it has, and keeps the file's key.
struct Keeping {
    identities: Vec<Box<dyn Identity + Send + Sync>>,
    kept: Mutex<Option<Vec<u8>>>,
}

impl Identity for Keeping {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        let unwrapped = self.identities.iter().find_map(|identity| identity.unwrap_stanza(stanza))?;
        if let Ok(key) = &unwrapped {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.expose_secret().to_vec());
        }
        Some(unwrapped)
    }
}
