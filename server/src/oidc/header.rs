//! A token's first part: by which algorithm and with which key it says to be signed. Nothing of it is true yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::OidcError;

/// Those with a private key at the provider. One with a shared secret would let whoever knows the public key sign.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];
/// ID tokens and access tokens; not a provider's tokens for logging out, say, which have the same signature.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key: Option<String>,
}

#[derive(Deserialize)]
struct Raw {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

impl Header {
    pub(super) fn of(token: &str, issuer: &str) -> Result<Self, OidcError> {
        let malformed = |why: &str| OidcError::Malformed { issuer: issuer.to_owned(), why: why.to_owned() };
        let (first, _) = token.split_once('.').ok_or_else(|| malformed("it has no header"))?;
        let json = URL_SAFE_NO_PAD.decode(first).map_err(|_| malformed("its header is not base64url"))?;
        let raw: Raw = serde_json::from_slice(&json).map_err(|_| malformed("its header is not readable"))?;
        let known = ALGORITHMS.iter().find(|(name, _)| *name == raw.alg);
        let unknown = || OidcError::Algorithm { issuer: issuer.to_owned(), given: raw.alg.clone() };
        let (_, algorithm) = known.ok_or_else(unknown)?;
        if raw.crit.is_some() {
            return Err(malformed("its header asks for an extension (`crit`), and none is known here"));
        }
        if raw.typ.is_some_and(|typ| !TYPES.contains(&typ.to_ascii_lowercase().as_str())) {
            return Err(malformed("its `typ` is neither that of an ID token nor that of an access token"));
        }
        Ok(Self { algorithm: *algorithm, key: raw.kid })
    }
}

/// What may sign, in words.
pub(super) fn names() -> String {
    ALGORITHMS.map(|(name, _)| name).join(", ")
}
