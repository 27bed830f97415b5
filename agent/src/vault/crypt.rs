//! Encryption with age. The agent knows recipients alone; what it encrypted it can't read.
//!
//! Who restores an encrypted backup has the identity where he is, opens the file's header with it there, and sends the key of
//! that one file: neither the server nor the agent ever has the identity, and what they have opens nothing else.

#[cfg(feature = "encryption")]
mod with_age;
#[cfg(not(feature = "encryption"))]
mod without;

#[cfg(feature = "encryption")]
use with_age as way;
#[cfg(not(feature = "encryption"))]
use without as way;

pub(crate) use way::{decrypted, encrypt};

use secrecy::SecretBox;

/// Whom backups are encrypted to.
#[derive(Clone, Default)]
pub struct Recipients {
    pub(super) names: Vec<String>,
    pub(super) keys: Vec<way::Key>,
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidRecipient {
    #[error("`{0}` is no recipient of age; `age-keygen` prints one, which begins with age1")]
    NotOne(String),
    #[error(
        "a private key stands where a recipient is wanted; keep it elsewhere, and write the age1... that belongs to it"
    )]
    Private,
    #[error(
        "`{0}` is an SSH key; backups are encrypted to keys of `age-keygen` alone, which begin with age1"
    )]
    Ssh(String),
    #[error(
        "this agent was built without encryption; install one that was built with the feature `encryption`"
    )]
    NotBuilt,
}

/// What is in an encrypted file.
pub(crate) type Plain = std::pin::Pin<Box<dyn tokio::io::AsyncRead + Send>>;

/// The key of one encrypted file.
pub(crate) struct FileKey(SecretBox<[u8; 16]>);

/// The beginning of an encrypted file, from which an identity gets the file's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header(pub(crate) Vec<u8>);

/// Why a file could not be decrypted.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    not(feature = "encryption"),
    expect(dead_code, reason = "nothing is decrypted without the feature")
)]
pub(crate) enum CryptError {
    #[cfg(feature = "encryption")]
    #[error("the key does not open it")]
    Key,
    #[cfg(feature = "encryption")]
    #[error("its beginning is not that of an encrypted file: {0}")]
    Header(String),
    #[cfg(not(feature = "encryption"))]
    #[error("this agent was built without encryption")]
    NotBuilt,
}

impl Recipients {
    pub fn parse(texts: &[String]) -> Result<Self, InvalidRecipient> {
        let mut recipients = Self::default();
        for text in texts {
            if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
                return Err(InvalidRecipient::Private);
            }
            if text.starts_with("ssh-") {
                return Err(InvalidRecipient::Ssh(text.chars().take(30).collect()));
            }
            recipients.keys.push(way::key(text)?);
            recipients.names.push(text.clone());
        }
        Ok(recipients)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.names).finish()
    }
}

impl std::fmt::Debug for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileKey(...)")
    }
}

impl FileKey {
    /// None: it has another length than a key.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        Some(Self(SecretBox::new(Box::new(bytes.try_into().ok()?))))
    }
}

impl Header {
    /// The part of a file's beginning that an identity needs: up to the line that closes the header, and the 16 bytes
    /// behind it.
    pub(crate) fn of(beginning: &[u8]) -> Option<Self> {
        const NONCE: usize = 16;
        let closing = beginning.windows(5).position(|window| window == b"\n--- ")?;
        let end = closing + 1 + beginning[closing + 1..].iter().position(|byte| *byte == b'\n')? + 1 + NONCE;
        Some(Self(beginning.get(..end)?.to_vec()))
    }
}
