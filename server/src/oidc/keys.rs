//! The keys that the provider publishes, kept for a while: fetched anew when they are old or a token names another one, and
//! never more often than the pace allows, whatever strangers ask for.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt as _;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use stopover_model::cause;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{OidcError, OidcSettings};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(5);
/// Of an answer.
const LONGEST: usize = 1024 * 1024;

/// How old keys may be, and how often they are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Younger ones are not asked for again.
    pub(super) fresh: Duration,
    /// Older ones do not count, though the provider is away.
    pub(super) most: Duration,
    /// Between two tries.
    pub(super) between: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            fresh: Duration::from_mins(5),
            most: Duration::from_hours(1),
            between: Duration::from_secs(10),
        }
    }
}

#[derive(Debug)]
pub(super) struct Keys {
    issuer: String,
    client: Client,
    pace: Pace,
    known: RwLock<Option<Arc<Known>>>,
    /// Whoever holds it fetches; the others wait, or go on with what is known.
    tries: Mutex<Tries>,
}

#[derive(Debug)]
struct Known {
    keys: Vec<Jwk>,
    at: Instant,
}

#[derive(Debug, Default)]
struct Tries {
    last: Option<Instant>,
    /// Why the last one came to nothing.
    failed: Option<String>,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Published {
    /// One by one: a key of a kind that nobody here knows spoils none of the others.
    keys: Vec<serde_json::Value>,
}

impl Keys {
    pub(super) fn new(settings: &OidcSettings, pace: Pace) -> Result<Self, reqwest::Error> {
        let authorities = settings.ca.as_deref().unwrap_or_default();
        let client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .https_only(settings.issuer.starts_with("https:"))
            .tls_certs_merge(Certificate::from_pem_bundle(authorities.as_bytes())?)
            .user_agent(concat!("stopover/", env!("CARGO_PKG_VERSION")));
        Ok(Self {
            issuer: settings.issuer.clone(),
            client: client.build()?,
            pace,
            known: RwLock::default(),
            tries: Mutex::default(),
        })
    }

    pub(super) async fn prepare(&self) {
        self.fetch(self.tries.lock().await).await;
    }

    /// The keys that may have made a signature; never none.
    pub(super) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<DecodingKey>, OidcError> {
        let fitting = |known: &Option<Arc<Known>>| {
            known.as_ref().map(|known| known.fitting(id, algorithm)).unwrap_or_default()
        };
        let known = self.known();
        let found = fitting(&known);
        let old = known.is_none_or(|known| known.at.elapsed() >= self.pace.fresh);
        if !found.is_empty() && !old {
            return Ok(found);
        }
        // Nobody waits for somebody else's question while there is a key.
        let tries = if found.is_empty() { Some(self.tries.lock().await) } else { self.tries.try_lock().ok() };
        let Some(tries) = tries else { return Ok(found) };
        let found = fitting(&self.known().filter(|known| known.at.elapsed() < self.pace.fresh));
        if !found.is_empty() {
            return Ok(found);
        }
        let failed = self.fetch(tries).await;
        let found = fitting(&self.known());
        let issuer = self.issuer.clone();
        match failed {
            _ if !found.is_empty() => Ok(found),
            Some(why) => Err(OidcError::Away { issuer, why }),
            None => Err(OidcError::UnknownKey { issuer }),
        }
    }

    /// Those that are not too old.
    fn known(&self) -> Option<Arc<Known>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.clone().filter(|known| known.at.elapsed() < self.pace.most)
    }

    /// Why the last try came to nothing, be it this one or one before, since another one would be too soon.
    async fn fetch(&self, mut tries: MutexGuard<'_, Tries>) -> Option<String> {
        if tries.last.is_none_or(|last| last.elapsed() >= self.pace.between) {
            tries.last = Some(Instant::now());
            match self.published().await {
                Ok(keys) => {
                    let known = Arc::new(Known { keys, at: Instant::now() });
                    *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(known);
                    tries.failed = None;
                }
                Err(why) => {
                    tracing::warn!(issuer = self.issuer, why, "could not fetch the identity provider's keys");
                    tries.failed = Some(why);
                }
            }
        }
        tries.failed.clone()
    }

    async fn published(&self) -> Result<Vec<Jwk>, String> {
        let place = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let discovery: Discovery = self.get(&place).await?;
        if discovery.issuer != self.issuer {
            return Err(format!(
                "it calls itself {}; write that as `issuer` under [oidc] in server.toml if it is the one",
                discovery.issuer.escape_debug()
            ));
        }
        let published: Published = self.get(&discovery.jwks_uri).await?;
        let keys = published.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(keys.filter(|key| !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption))).collect())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                return format!("no answer from {url} within {} s", TIMEOUT.as_secs());
            }
            format!("{url} could not be reached ({})", cause::last(&error.without_url()))
        };
        let answer = self.client.get(url).send().await.map_err(failed)?;
        if answer.status().as_u16() != 200 {
            return Err(format!("{url} answered {}", answer.status()));
        }
        let (mut body, mut chunks) = (Vec::new(), answer.bytes_stream());
        while let Some(chunk) = chunks.next().await {
            body.extend_from_slice(&chunk.map_err(failed)?);
            if body.len() > LONGEST {
                return Err(format!("what {url} answers is longer than {LONGEST} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("what {url} answers is not readable ({error})"))
    }
}

impl Known {
    fn fitting(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let fits = |key: &&Jwk| {
            id.is_none_or(|id| key.common.key_id.as_deref() == Some(id)) && makes(key, algorithm)
        };
        self.keys.iter().filter(fits).filter_map(|key| DecodingKey::from_jwk(key).ok()).collect()
    }
}

/// Whether a key signs so. Where it says by which algorithm, by no other.
fn makes(key: &Jwk, algorithm: Algorithm) -> bool {
    if key.common.key_algorithm.is_some_and(|named| named.to_string() != format!("{algorithm:?}")) {
        return false;
    }
    match &key.algorithm {
        AlgorithmParameters::RSA(_) => matches!(
            algorithm,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
        ),
        AlgorithmParameters::EllipticCurve(key) => match algorithm {
            Algorithm::ES256 => key.curve == EllipticCurve::P256,
            Algorithm::ES384 => key.curve == EllipticCurve::P384,
            _ => false,
        },
        AlgorithmParameters::OctetKeyPair(key) => {
            algorithm == Algorithm::EdDSA && key.curve == EllipticCurve::Ed25519
        }
        _ => false,
    }
}
