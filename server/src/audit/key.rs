//! The key that signs the audit log's heads, in the data directory.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use stopover_model::audit::AuditHead;

use super::AuditError;
use crate::data_dir::{DataDirError, write_private};

const KEY_FILE: &str = "audit.key";
/// For those who check the log elsewhere.
const PUBLIC_FILE: &str = "audit.pub";

pub(super) struct Key(Ed25519KeyPair);

impl Key {
    pub(super) fn open(data_dir: &Path) -> Result<Self, AuditError> {
        let path = data_dir.join(KEY_FILE);
        let unusable = || AuditError::Key(path.clone());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| unusable())?;
                let text = STANDARD.encode(made.as_ref());
                write_private(&path, &text).map_err(of_data_dir)?;
                text
            }
            Err(source) => return Err(AuditError::File { action: "read", path, source }),
        };
        let pkcs8 = STANDARD.decode(text.trim()).map_err(|_| unusable())?;
        let key = Self(Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| unusable())?);
        let public = format!("{}\n", STANDARD.encode(key.public()));
        write_private(&data_dir.join(PUBLIC_FILE), &public).map_err(of_data_dir)?;
        Ok(key)
    }

    pub(super) fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    /// Base64.
    pub(super) fn sign(&self, head: &AuditHead) -> String {
        STANDARD.encode(self.0.sign(head.signed_text().as_bytes()).as_ref())
    }
}

fn of_data_dir(error: DataDirError) -> AuditError {
    match error {
        DataDirError::File { action, path, source } => AuditError::File { action, path, source },
        DataDirError::Exposed(path) | DataDirError::InUse(path) => {
            AuditError::File { action: "write", path, source: io::ErrorKind::PermissionDenied.into() }
        }
    }
}
