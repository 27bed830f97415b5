//! The secrets that are typed or pasted: join tokens of agents, the tokens of operators, and those of hooks' callbacks.
//!
//! A token is shown once, when it is made; what is stored is its hash, and `Debug` never shows the secret. Nothing here
//! knows which tokens exist, expire or were used.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const JOIN: &str = "stj_";
const OPERATOR: &str = "sto_";
const HOOK: &str = "sth_";
/// 32 random bytes in base64url.
const SECRET_CHARS: usize = 43;

/// Why a text is not a token. Never repeats the text, since most of it may be a real secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error(
        "this is not a join token: it has to begin with `stj_` and hold 112 characters; copy the whole line that \
         `stopover agent token ENVIRONMENT` printed, or ask for a new one"
    )]
    Join,
    #[error(
        "this is not an operator's token: it has to begin with `sto_` and hold 47 characters; copy the whole line that \
         was printed when the token was made, or ask an administrator for a new one"
    )]
    Operator,
    #[error(
        "this is not the token of a hook's callback: use the `callback` that came with the call, as it is"
    )]
    Hook,
    #[error("this is not a fingerprint of an authority: it has to be 64 hexadecimal digits")]
    Fingerprint,
    #[error("this is not the stored hash of a token: it has to be 64 hexadecimal digits")]
    Hash,
}

/// What lets one agent join: a secret, and the authority that the agent has to find at the other end.
///
/// Written `stj_<secret>_<fingerprint>`. The fingerprint is what makes the first connection safe: whoever answers must
/// prove to be certified by that authority before the secret is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    secret: Secret,
    authority: AuthorityFingerprint,
}

impl JoinToken {
    /// Makes a token out of 32 bytes that must come from a cryptographic random generator.
    #[must_use]
    pub fn new(random: [u8; 32], authority: AuthorityFingerprint) -> Self {
        Self { secret: Secret(random), authority }
    }

    #[must_use]
    pub fn authority(&self) -> AuthorityFingerprint {
        self.authority
    }

    /// What the server stores and looks up.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        self.secret.hash(JOIN)
    }

    /// The whole token in clear, for the one line that shows it and for the one request that uses it.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{}_{}", self.secret.expose(JOIN), self.authority)
    }
}

impl FromStr for JoinToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let rest = text.trim().strip_prefix(JOIN).ok_or(InvalidToken::Join)?;
        let (secret, authority) = rest.split_at_checked(SECRET_CHARS).ok_or(InvalidToken::Join)?;
        let authority = authority.strip_prefix('_').ok_or(InvalidToken::Join)?;
        Ok(Self {
            secret: Secret::parse(secret).ok_or(InvalidToken::Join)?,
            authority: authority.parse().map_err(|_| InvalidToken::Join)?,
        })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken(stj_…_{})", self.authority)
    }
}

/// What an operator carries on every call. Written `sto_<secret>`.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorToken(Secret);

impl OperatorToken {
    /// Makes a token out of 32 bytes that must come from a cryptographic random generator.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(Secret(random))
    }

    /// What the server stores and looks up.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        self.0.hash(OPERATOR)
    }

    /// The whole token in clear, for the one line that shows it and for the header that carries it.
    #[must_use]
    pub fn expose(&self) -> String {
        self.0.expose(OPERATOR)
    }
}

impl FromStr for OperatorToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let secret = text.trim().strip_prefix(OPERATOR).and_then(Secret::parse);
        secret.map(Self).ok_or(InvalidToken::Operator)
    }
}

impl fmt::Debug for OperatorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorToken(sto_…)")
    }
}

/// With which the receiver of a hook says later how it went. Written `sth_<secret>`.
#[derive(Clone, PartialEq, Eq)]
pub struct HookToken(Secret);

impl HookToken {
    /// Makes a token out of 32 bytes that must come from a cryptographic random generator.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(Secret(random))
    }

    /// What the server stores and looks up.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        self.0.hash(HOOK)
    }

    /// The whole token in clear, for the one receiver that gets it.
    #[must_use]
    pub fn expose(&self) -> String {
        self.0.expose(HOOK)
    }
}

impl FromStr for HookToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        text.strip_prefix(HOOK).and_then(Secret::parse).map(Self).ok_or(InvalidToken::Hook)
    }
}

impl fmt::Debug for HookToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookToken(sth_…)")
    }
}

/// Whether what somebody shows has the form of a token that an identity provider has signed (JWT). Nothing of it is read.
#[must_use]
pub fn looks_signed(text: &str) -> bool {
    text.starts_with("ey") && text.split('.').count() == 3
}

/// The SHA-256 of a token's secret. A secret of 256 random bits needs no slow hash: there is nothing to guess.
///
/// Two are compared in constant time.
#[derive(Debug, Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl FromStr for TokenHash {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        parse_hex(text).map(Self).ok_or(InvalidToken::Hash)
    }
}

/// The SHA-256 of an authority's certificate (DER): who an agent trusts before it has any certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuthorityFingerprint([u8; 32]);

impl AuthorityFingerprint {
    #[must_use]
    pub fn of(certificate_der: &[u8]) -> Self {
        Self(Sha256::digest(certificate_der).into())
    }
}

impl fmt::Display for AuthorityFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl FromStr for AuthorityFingerprint {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        parse_hex(text).map(Self).ok_or(InvalidToken::Fingerprint)
    }
}

#[derive(Clone)]
struct Secret([u8; 32]);

impl Secret {
    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    fn expose(&self, prefix: &str) -> String {
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(self.0))
    }

    /// The prefix is hashed along, so that one kind of token can never pass for the other.
    fn hash(&self, prefix: &str) -> TokenHash {
        TokenHash(Sha256::new().chain_update(prefix).chain_update(self.0).finalize().into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let digits = text.chars().map(|c| c.to_digit(16)).collect::<Option<Vec<_>>>()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(pair[0] << 4 | pair[1]).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join_token() -> JoinToken {
        JoinToken::new([0xfb; 32], AuthorityFingerprint::of(b"a certificate"))
    }

    #[test]
    fn tokens_survive_being_printed_and_pasted() {
        let token = join_token();
        let text = token.expose();
        assert_eq!(text.len(), 112);
        assert!(text.starts_with("stj_"));
        assert_eq!(format!("  {text}\n").parse(), Ok(token.clone()));
        assert_eq!(text.parse::<JoinToken>().unwrap().hash(), token.hash());

        let operator = OperatorToken::new([7; 32]);
        assert_eq!(operator.expose().len(), 47);
        assert_eq!(operator.expose().parse(), Ok(operator));
    }

    #[test]
    fn hashes_survive_being_stored() {
        let hash = join_token().hash();
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_ne!(hash, JoinToken::new([1; 32], join_token().authority()).hash());
    }

    #[test]
    fn one_kind_of_token_never_passes_for_the_other() {
        assert_ne!(
            JoinToken::new([7; 32], join_token().authority()).hash(),
            OperatorToken::new([7; 32]).hash()
        );
        assert_eq!(join_token().expose().parse::<OperatorToken>(), Err(InvalidToken::Operator));
        assert_eq!(OperatorToken::new([7; 32]).expose().parse::<JoinToken>(), Err(InvalidToken::Join));
    }

    #[test]
    fn a_signed_token_is_known_by_its_form() {
        assert!(looks_signed("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm5hIn0.c2lnbmF0dXJl"));
        assert!(!looks_signed("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm5hIn0"));
        assert!(!looks_signed("a.b.c"));
        assert!(!looks_signed(&OperatorToken::new([7; 32]).expose()));
        assert!(!looks_signed(&join_token().expose()));
    }

    #[test]
    fn a_damaged_token_is_refused() {
        let text = join_token().expose();
        for length in 0..text.len() {
            assert!(text[..length].parse::<JoinToken>().is_err(), "{length} characters");
        }
        assert!(format!("{text}0").parse::<JoinToken>().is_err());
        assert!(text.replace("stj_", "stj_ü").parse::<JoinToken>().is_err());
        assert!(text.to_uppercase().parse::<JoinToken>().is_err());
        assert!("é".repeat(60).parse::<JoinToken>().is_err());
        assert!("stj_é".repeat(30).parse::<JoinToken>().is_err());
    }

    #[test]
    fn neither_debug_output_nor_an_error_shows_a_secret() {
        let secret = URL_SAFE_NO_PAD.encode([0xfb; 32]);
        assert!(!format!("{:?}", join_token()).contains(&secret));
        assert!(!format!("{:?}", OperatorToken::new([0xfb; 32])).contains(&secret));
        let error = format!("stj_{secret}").parse::<JoinToken>().unwrap_err();
        assert!(!error.to_string().contains(&secret));
    }
}
