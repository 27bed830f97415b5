//! The server's own certificate: made in memory at each start, and anew before it ends.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Authority, AuthorityError, SERVER_LIFE, certify};

/// Hands rustls the server's certificate, with the authority's behind it: an agent that joins pins the authority's.
///
/// It looks at the clock at each handshake, so that neither a server that runs for months nor a clock that jumps leaves it
/// with a certificate that has ended.
pub struct ServerCertificate {
    authority: Arc<Authority>,
    clock: fn() -> Timestamp,
    current: RwLock<Issued>,
}

#[derive(Clone)]
struct Issued {
    key: Arc<CertifiedKey>,
    at: Timestamp,
}

impl ServerCertificate {
    pub fn issue(authority: Arc<Authority>, clock: fn() -> Timestamp) -> Result<Self, AuthorityError> {
        let current = RwLock::new(Issued::by(&authority, clock())?);
        Ok(Self { authority, clock, current })
    }

    fn current(&self) -> Arc<CertifiedKey> {
        let now = (self.clock)();
        let issued = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if issued.is_fresh(now) {
            return issued.key;
        }
        match Issued::by(&self.authority, now) {
            Ok(next) => {
                tracing::info!("renewed the server's certificate");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = next.clone();
                next.key
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "could not renew the server's certificate"
                );
                issued.key
            }
        }
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate").finish_non_exhaustive()
    }
}

impl Issued {
    fn by(authority: &Authority, now: Timestamp) -> Result<Self, AuthorityError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| certify("server", source);
        let (certificate, key) = authority.issue_server(now).map_err(|error| failed(error.into()))?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = any_supported_type(&key).map_err(|error| failed(error.into()))?;
        let chain = vec![certificate.der().clone(), authority.certificate().clone()];
        Ok(Self { key: Arc::new(CertifiedKey::new(chain, key)), at: now })
    }

    /// Renewed at two thirds of its life, or when the clock went back to before it began.
    fn is_fresh(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.at);
        age >= SignedDuration::ZERO && age < SERVER_LIFE / 3 * 2
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    static NOW: AtomicI64 = AtomicI64::new(1_800_000_000);

    fn clock() -> Timestamp {
        Timestamp::from_second(NOW.load(Ordering::Relaxed)).unwrap()
    }

    #[test]
    fn the_certificate_is_renewed_before_it_ends_and_after_the_clock_went_back() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path(), &["localhost".into()], clock()).unwrap();
        let certificate = ServerCertificate::issue(Arc::new(authority), clock).unwrap();
        let first = certificate.current();
        let after = |days: i64| {
            NOW.fetch_add(days * 24 * 3600, Ordering::Relaxed);
            certificate.current()
        };

        assert_eq!(after(19).cert[0], first.cert[0]);
        let second = after(2);
        assert_ne!(second.cert[0], first.cert[0]);
        assert_eq!(second.cert[1], first.cert[1], "the same authority signed it");
        assert_ne!(after(-5).cert[0], second.cert[0]);
    }
}
