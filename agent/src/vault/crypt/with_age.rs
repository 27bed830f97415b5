//! By the crate age.

use age::{DecryptError, Decryptor, Encryptor};
use age_core::format::{FileKey as AgeKey, Stanza};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_util::compat::{
    FuturesAsyncReadCompatExt as _, FuturesAsyncWriteCompatExt as _, TokioAsyncReadCompatExt as _,
    TokioAsyncWriteCompatExt as _,
};

use super::{CryptError, FileKey, InvalidRecipient, Plain, Recipients};

pub(super) type Key = age::x25519::Recipient;

pub(super) fn key(text: &str) -> Result<Key, InvalidRecipient> {
    text.parse().map_err(|_| InvalidRecipient::NotOne(text.chars().take(80).collect()))
}

/// Encrypts all of the stream.
pub(crate) async fn encrypt(
    recipients: &Recipients,
    mut plain: impl AsyncRead + Unpin,
    encrypted: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    let keys = recipients.keys.iter().map(|key| key as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(keys).map_err(std::io::Error::other)?;
    let mut writer = encryptor.wrap_async_output(encrypted.compat_write()).await?.compat_write();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = plain.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        tokio::io::AsyncWriteExt::write_all(&mut writer, &buffer[..count]).await?;
    }
    // Without its end the file does not decrypt.
    tokio::io::AsyncWriteExt::shutdown(&mut writer).await
}

/// The stream's content.
pub(crate) async fn decrypted(
    encrypted: impl AsyncRead + Unpin + Send + 'static,
    key: &FileKey,
) -> Result<Plain, CryptError> {
    let opened = Decryptor::new_async_buffered(futures::io::BufReader::new(encrypted.compat())).await;
    let opened = opened.map_err(|error| CryptError::Header(error.to_string()))?;
    let given = Given(key);
    match opened.decrypt_async(std::iter::once(&given as &dyn age::Identity)) {
        Ok(content) => Ok(Box::pin(content.compat())),
        Err(_) => Err(CryptError::Key),
    }
}

/// The file's own key, whoever unwrapped it. The header's checksum shows whether it is.
struct Given<'a>(&'a FileKey);

impl age::Identity for Given<'_> {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<AgeKey, DecryptError>> {
        Some(Ok(AgeKey::new(Box::new(*self.0.0.expose_secret()))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::Header;
    use super::*;

    /// Does what the command line does with the header.
    fn key_of(header: &Header, identity: &age::x25519::Identity) -> Option<FileKey> {
        struct Keeping<'a>(&'a age::x25519::Identity, Mutex<Option<Vec<u8>>>);
        impl age::Identity for Keeping<'_> {
            fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<AgeKey, DecryptError>> {
                let key = self.0.unwrap_stanza(stanza)?.ok()?;
                *self.1.lock().unwrap() = Some(key.expose_secret().to_vec());
                Some(Ok(key))
            }
        }
        let keeping = Keeping(identity, Mutex::default());
        let opened = Decryptor::new(&header.0[..]).unwrap();
        opened.decrypt(std::iter::once(&keeping as &dyn age::Identity)).ok()?;
        FileKey::new(&keeping.1.into_inner().unwrap()?)
    }

    #[tokio::test]
    async fn the_header_gives_the_key_of_its_file_and_of_no_other() {
        let (identity, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let recipients = Recipients::parse(&[identity.to_public().to_string()]).unwrap();
        let plain: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let (mut one, mut two) = (Vec::new(), Vec::new());
        encrypt(&recipients, &plain[..], &mut one).await.unwrap();
        encrypt(&recipients, &plain[..], &mut two).await.unwrap();
        let header = Header::of(&one).unwrap();
        assert!(key_of(&header, &other).is_none());
        let key = key_of(&header, &identity).unwrap();
        let mut back = Vec::new();
        let read = decrypted(std::io::Cursor::new(one.clone()), &key).await.unwrap();
        tokio::io::AsyncReadExt::read_to_end(&mut Box::pin(read), &mut back).await.unwrap();
        assert_eq!(back, plain);
        assert!(matches!(decrypted(std::io::Cursor::new(two), &key).await.err(), Some(CryptError::Key)));
        assert!(!format!("{key:?}").contains(char::is_numeric));

        one.truncate(one.len() - 1);
        let cut = decrypted(std::io::Cursor::new(one), &key).await.unwrap();
        tokio::io::AsyncReadExt::read_to_end(&mut Box::pin(cut), &mut Vec::new()).await.unwrap_err();
    }

    #[test]
    fn what_is_no_recipient_is_told_apart() {
        let error = |text: &str| Recipients::parse(&[text.to_owned()]).unwrap_err().to_string();
        assert!(error("age1x").contains("age-keygen"));
        assert!(error("ssh-ed25519 AAAA").contains("SSH"));
        let private = error("AGE-SECRET-KEY-1XYZ");
        assert!(private.contains("keep it elsewhere") && !private.contains("XYZ"));
    }
}
