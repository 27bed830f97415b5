//! Signatures of webhooks, as Standard Webhooks has them: HMAC-SHA256 over id, time and body, so that a receiver knows who
//! sent it, that nobody changed it, and that it is not an old one sent again.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::Key;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
/// How far the clock of who signed may be off.
const TOLERANCE: Duration = Duration::from_mins(5);

/// What goes along with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    id: String,
    /// Seconds since the epoch.
    timestamp: String,
    value: String,
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    #[error("it needs the headers webhook-id, webhook-timestamp and webhook-signature")]
    Missing,
    #[error(
        "its webhook-timestamp is more than 5 minutes off; sign it when it is sent, and set the clock right"
    )]
    Old,
    #[error("its webhook-signature is not the one of this body and the hook's secret")]
    Wrong,
}

impl Signature {
    #[must_use]
    pub fn of(secret: &SecretString, id: &str, now: Timestamp, body: &[u8]) -> Self {
        let timestamp = now.as_second().to_string();
        let made = mac(secret, id, &timestamp, body).finalize().into_bytes();
        Self { id: id.to_owned(), value: format!("v1,{}", STANDARD.encode(made)), timestamp }
    }

    #[must_use]
    pub fn headers(&self) -> [(&'static str, &str); 3] {
        [(ID, &self.id), (TIMESTAMP, &self.timestamp), (SIGNATURE, &self.value)]
    }

    /// Whether what came with a body is by somebody who has the secret, and new.
    pub fn check(
        secret: &SecretString,
        headers: &HeaderMap,
        now: Timestamp,
        body: &[u8],
    ) -> Result<(), BadSignature> {
        let header =
            |name| headers.get(name).and_then(|value| value.to_str().ok()).ok_or(BadSignature::Missing);
        let (id, timestamp, signatures) = (header(ID)?, header(TIMESTAMP)?, header(SIGNATURE)?);
        let at = timestamp.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
        let at = at.ok_or(BadSignature::Missing)?;
        if at.duration_since(now).unsigned_abs() > TOLERANCE {
            return Err(BadSignature::Old);
        }
        // While a secret is exchanged, a sender may sign with both.
        let given = signatures.split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
        let right = |given: Vec<u8>| mac(secret, id, timestamp, body).verify_slice(&given).is_ok();
        if given.into_iter().any(right) { Ok(()) } else { Err(BadSignature::Wrong) }
    }
}

fn mac(secret: &SecretString, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = keyed(secret);
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac
}

/// `whsec_` and base64 is how other tools write a key; anything else is the key itself.
fn keyed(secret: &SecretString) -> Hmac<Sha256> {
    let text = secret.expose_secret();
    let decoded = text.strip_prefix("whsec_").and_then(|key| STANDARD.decode(key).ok());
    let key = decoded.as_deref().unwrap_or(text.as_bytes());
    // Keys of any length are taken, so that the other way is never gone.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Key::<Hmac<Sha256>>::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn headers(signature: &Signature) -> HeaderMap {
        signature.headers().into_iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn it_is_the_one_that_the_standard_gives_as_its_example() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into();
        let made = Signature::of(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            at(1_614_265_330),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(made.value, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_was_changed_signed_by_another_or_kept_is_refused() {
        let (secret, other) = ("a secret".into(), "another".into());
        let made = headers(&Signature::of(&secret, "1", at(1_000), b"body"));
        assert_eq!(Signature::check(&secret, &made, at(1_100), b"body"), Ok(()));
        assert_eq!(Signature::check(&secret, &made, at(1_100), b"bodY"), Err(BadSignature::Wrong));
        assert_eq!(Signature::check(&other, &made, at(1_100), b"body"), Err(BadSignature::Wrong));
        assert_eq!(Signature::check(&secret, &made, at(1_301), b"body"), Err(BadSignature::Old));
        assert_eq!(Signature::check(&secret, &made, at(699), b"body"), Err(BadSignature::Old));
        assert_eq!(Signature::check(&secret, &HeaderMap::new(), at(0), b""), Err(BadSignature::Missing));
        let mut two = made.clone();
        let second = format!("v1,{} {}", STANDARD.encode("x"), made[SIGNATURE].to_str().unwrap());
        two.insert(SIGNATURE, second.parse().unwrap());
        assert_eq!(Signature::check(&secret, &two, at(1_000), b"body"), Ok(()));
    }
}
