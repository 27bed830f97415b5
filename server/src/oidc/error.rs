//! Why a sign-in does not count, and what to do then.

use jiff::Timestamp;
use stopover_model::id::OperatorName;

/// None of them repeats a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    #[error("what was shown is no signed token (JWT): {why}; `stopover login` gets one from {issuer}")]
    Malformed { issuer: String, why: String },
    #[error(
        "the token is signed by `{}`, which does not count here; let {issuer} sign by {}", .given.escape_debug(), super::header::names()
    )]
    Algorithm { issuer: String, given: String },
    #[error(
        "the token is signed with a key that {issuer} does not publish, or not any more; `stopover login` gets a new one"
    )]
    UnknownKey { issuer: String },
    #[error(
        "the token's signature is not that of {issuer}: it was changed, or somebody else made it; `stopover login` gets \
         another"
    )]
    Signature { issuer: String },
    #[error(
        "the token is of `{}`, and this server takes those of {issuer} alone ([oidc] in server.toml)", .given.escape_debug()
    )]
    Issuer { issuer: String, given: String },
    #[error(
        "the token is for {}, and this server takes those for `{audience}` ([oidc] in server.toml: `client_id`, or \
         `audience`)", quoted(.given)
    )]
    Audience { audience: String, given: Vec<String> },
    #[error("the sign-in{} ended at {}; stopover login, and then the same again", of(.name.as_ref()), minute(.at))]
    Ended { name: Option<OperatorName>, at: Timestamp },
    #[error(
        "the token is good from {} on, and here it is {}; the clock of this server or that of {issuer} is wrong", second(.from), second(.now)
    )]
    NotYet { issuer: String, from: Timestamp, now: Timestamp },
    #[error(
        "the token's claim `{claim}` names nobody: {why}; let {issuer} put it in, or name another with `name_claim` under \
         [oidc] in server.toml"
    )]
    Name { issuer: String, claim: String, why: String },
    #[error("the token's claim `{claim}` is {why}; see what {issuer} puts into it")]
    Claim { issuer: String, claim: String, why: &'static str },
    #[error(
        "{issuer} has not verified the address {}, so that it could be anybody's; let it be verified there, and log in \
         again", .address.escape_debug()
    )]
    Unverified { issuer: String, address: String },
    #[error(
        "the identity provider {issuer} can't be asked for its keys: {why}; operators' tokens go on working, sign-ins once \
         it answers"
    )]
    Away { issuer: String, why: String },
}

fn of(name: Option<&OperatorName>) -> String {
    name.map(|name| format!(" of {name}")).unwrap_or_default()
}

fn quoted(all: &[String]) -> String {
    let quoted: Vec<_> = all.iter().map(|one| format!("`{}`", one.escape_debug())).collect();
    if quoted.is_empty() { "nobody".to_owned() } else { quoted.join(", ") }
}

fn minute(at: &Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%d %H:%M UTC")
}

fn second(at: &Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%d %H:%M:%S UTC")
}
