//! The authority's two files. They are made so that a crash at any moment leaves nothing, a key alone, or both.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rcgen::{Certificate, KeyPair, PublicKeyData as _};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{AuthorityError, certify};

const ONLY_OWNER: u32 = 0o600;
const EVERYONE_READS: u32 = 0o644;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(super) struct Files {
    dir: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Files {
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), certificate: dir.join("ca.pem"), key: dir.join("ca-key.pem") }
    }

    /// Reads the pair; makes what is missing. A key without a certificate is what a crash in the middle of the first start
    /// left: nothing was signed with it yet, so it gets its certificate now.
    pub(super) fn open(
        &self,
        make_certificate: impl FnOnce(&KeyPair) -> Result<Certificate, rcgen::Error>,
    ) -> Result<(CertificateDer<'static>, KeyPair), AuthorityError> {
        let certificate = read(&self.certificate)?;
        let key = match self.read_key()? {
            Some(key) => key,
            None if certificate.is_some() => {
                return Err(AuthorityError::KeyMissing {
                    certificate: self.certificate.clone(),
                    key: self.key.clone(),
                });
            }
            None => self.make_key()?,
        };
        if let Some(pem) = certificate {
            return Ok((self.matching_certificate(&pem, &key)?, key));
        }
        let made = make_certificate(&key).map_err(|source| certify("authority", source))?;
        self.write(&self.certificate, &made.pem(), EVERYONE_READS)?;
        Ok((made.der().clone(), key))
    }

    pub(super) fn unusable_certificate(&self, source: impl Into<BoxError>) -> AuthorityError {
        let source = source.into();
        AuthorityError::Unusable { what: "certificate", path: self.certificate.clone(), source }
    }

    fn unusable_key(&self, source: impl Into<BoxError>) -> AuthorityError {
        AuthorityError::Unusable { what: "key", path: self.key.clone(), source: source.into() }
    }

    fn read_key(&self) -> Result<Option<KeyPair>, AuthorityError> {
        let Some(pem) = read(&self.key)? else {
            return Ok(None);
        };
        let metadata = fs::metadata(&self.key).map_err(|source| file("inspect", &self.key, source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(AuthorityError::KeyExposed { path: self.key.clone(), mode });
        }
        KeyPair::from_pem(&pem).map(Some).map_err(|source| self.unusable_key(source))
    }

    fn make_key(&self) -> Result<KeyPair, AuthorityError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|source| file("create", &self.dir, source))?;
        let key = KeyPair::generate().map_err(|source| certify("authority", source))?;
        self.write(&self.key, &key.serialize_pem(), ONLY_OWNER)?;
        Ok(key)
    }

    fn matching_certificate(
        &self,
        pem: &str,
        key: &KeyPair,
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|source| self.unusable_certificate(source.to_string()))?;
        let (_, certificate) = X509Certificate::from_der(&der)
            .map_err(|source| self.unusable_certificate(source.to_string()))?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            return Err(self.unusable_key("it is not the key of the certificate beside it"));
        }
        Ok(der)
    }

    /// Puts a whole file in place, durably, or leaves none.
    fn write(&self, path: &Path, content: &str, mode: u32) -> Result<(), AuthorityError> {
        let fresh = path.with_extension("pem.new");
        let written = (|| {
            match fs::remove_file(&fresh) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
            // The umask may have taken bits away that others need.
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, path)?;
            File::open(&self.dir)?.sync_all()
        })();
        written.map_err(|source| file("write", path, source))
    }
}

pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Result<Timestamp, BoxError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    Ok(Timestamp::from_second(parsed.validity().not_after.timestamp())?)
}

fn read(path: &Path) -> Result<Option<String>, AuthorityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(file("read", path, source)),
    }
}

fn file(action: &'static str, path: &Path, source: io::Error) -> AuthorityError {
    AuthorityError::File { action, path: path.to_owned(), source }
}
