//! The same for an agent that was built without encryption.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{CryptError, FileKey, InvalidRecipient, Plain, Recipients};

#[derive(Debug, Clone)]
pub(crate) enum Key {}

pub(super) fn key(_: &str) -> Result<Key, InvalidRecipient> {
    Err(InvalidRecipient::NotBuilt)
}

pub(crate) async fn encrypt(
    _: &Recipients,
    _: impl AsyncRead + Unpin,
    _: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    Err(std::io::Error::other(InvalidRecipient::NotBuilt))
}

pub(crate) async fn decrypted(
    encrypted: impl AsyncRead + Unpin + Send + 'static,
    _: &FileKey,
) -> Result<Plain, CryptError> {
    drop(encrypted);
    Err(CryptError::NotBuilt)
}
