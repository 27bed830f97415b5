//! An identity provider that publishes what a test says, and keys that sign whatever a test says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use stopover_tests::{HttpTarget, Reply};

use super::now;
use crate::oidc::OidcSettings;

const KEYS: &str = "/keys";
const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const CLIENT: &str = "stopover";

/// At an address of its own.
pub(crate) struct Issuer {
    target: HttpTarget,
}

/// A private key with its name.
pub(crate) struct Signer {
    id: String,
    pair: Pair,
}

enum Pair {
    Curve(EcdsaKeyPair),
    Edwards(Ed25519KeyPair),
}

impl Issuer {
    pub(crate) async fn start(keys: &[&Signer]) -> Self {
        let issuer = Self { target: HttpTarget::start().await };
        let origin = &issuer.target.origin;
        let discovery = json!({ "issuer": origin, "jwks_uri": format!("{origin}{KEYS}") });
        issuer.target.says(DISCOVERY, Reply::Is(200, discovery.to_string()));
        issuer.publish(keys);
        issuer
    }

    /// In the place of what it published before; with a key of a kind that nobody knows, and one for encryption.
    pub(crate) fn publish(&self, keys: &[&Signer]) {
        let mut all: Vec<_> = keys.iter().map(|key| key.public()).collect();
        all.push(json!({ "kty": "LATTICE", "kid": "future", "q": 7 }));
        self.target.says(KEYS, Reply::Is(200, json!({ "keys": all }).to_string()));
    }

    pub(crate) fn is_away(&self) {
        self.target.says(KEYS, Reply::Is(503, "later".to_owned()));
    }

    pub(crate) fn says(&self, text: &str) {
        self.target.says(DISCOVERY, Reply::Is(200, text.to_owned()));
    }

    pub(crate) fn origin(&self) -> &str {
        &self.target.origin
    }

    /// How often its keys were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.target.requests().iter().filter(|head| head.contains(KEYS)).count()
    }

    pub(crate) fn settings(&self) -> OidcSettings {
        OidcSettings {
            issuer: self.target.origin.clone(),
            client_id: CLIENT.to_owned(),
            audience: CLIENT.to_owned(),
            groups_claim: "groups".to_owned(),
            name_claim: "email".to_owned(),
            scopes: Vec::new(),
            ca: None,
        }
    }

    /// What this issuer says of Anna, good for an hour.
    pub(crate) fn anna(&self) -> Value {
        self.person("anna", &["dba"], now().as_second() + 3600)
    }

    pub(crate) fn person(&self, name: &str, groups: &[&str], expires: i64) -> Value {
        json!({
            "iss": self.target.origin, "aud": CLIENT, "sub": format!("sub-{name}"), "exp": expires,
            "email": format!("{name}@example.com"), "groups": groups,
        })
    }
}

impl Signer {
    pub(crate) fn curve(id: &str) -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap();
        Self { id: id.to_owned(), pair: Pair::Curve(pair) }
    }

    pub(crate) fn edwards(id: &str) -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id: id.to_owned(), pair: Pair::Edwards(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap()) }
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.with_header(&json!({ "alg": self.algorithm(), "kid": self.id, "typ": "JWT" }), claims)
    }

    /// Signed rightly, whatever the header says.
    pub(crate) fn with_header(&self, header: &Value, claims: &Value) -> String {
        let message = unsigned(header, claims);
        let signature = match &self.pair {
            Pair::Curve(pair) => {
                pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec()
            }
            Pair::Edwards(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Curve(_) => "ES256",
            Pair::Edwards(_) => "EdDSA",
        }
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        match &self.pair {
            Pair::Curve(pair) => pair.public_key().as_ref(),
            Pair::Edwards(pair) => pair.public_key().as_ref(),
        }
    }

    fn public(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = self.public_key();
        match &self.pair {
            // 4, x, y
            Pair::Curve(_) => {
                json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "use": "sig", "x": text(&key[1..33]), "y": text(&key[33..]) })
            }
            Pair::Edwards(_) => json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": text(key) }),
        }
    }
}

pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// So many seconds from now, as a token says it.
pub(crate) fn in_seconds(seconds: i64) -> Value {
    json!(Timestamp::now().as_second() + seconds)
}
