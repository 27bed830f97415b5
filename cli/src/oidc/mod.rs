//! Sign-in at the identity provider that a server names: the device flow (RFC 8628), renewal, and the way out.
//!
//! ```text
//! the server's ShowLogin -> Provider -> Endpoints (discovery) -> device: a code for a person's browser -> SignIn
//! SignIn, in contexts.toml -> kept: renewed before its end -> the bearer of each call
//! ```
//!
//! Nothing is believed of what the provider answers: whether a token counts, the server says.

mod device;
mod endpoints;
mod http;
mod kept;
mod tokens;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stopover_proto::v1;

pub use device::sign_in;
pub use kept::Kept;
pub use tokens::revoke;

/// So long before its end a token is renewed, where it is good for much longer.
const EARLY: Duration = Duration::from_mins(1);

/// The identity provider, as the server names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub issuer: String,
    pub client_id: String,
    pub audience: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

/// What a sign-in has given, as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// What the server is shown.
    pub bearer: String,
    pub obtained_at: Timestamp,
    pub expires_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    pub provider: Provider,
}

/// Without its secrets.
impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { obtained_at, expires_at, provider, .. } = self;
        f.debug_struct("SignIn")
            .field("obtained_at", obtained_at)
            .field("expires_at", expires_at)
            .field("provider", provider)
            .finish_non_exhaustive()
    }
}

impl SignIn {
    /// When it is to be renewed: a quarter of its time before its end, and a minute at most.
    #[must_use]
    pub fn due_at(&self) -> Timestamp {
        let life = Duration::try_from(self.expires_at.duration_since(self.obtained_at)).unwrap_or_default();
        self.expires_at.saturating_sub(EARLY.min(life / 4)).unwrap_or(self.expires_at)
    }
}

impl From<v1::OidcLogin> for Provider {
    fn from(login: v1::OidcLogin) -> Self {
        let v1::OidcLogin { issuer, client_id, audience, scopes, ca } = login;
        Self { issuer, client_id, audience, scopes, ca: Some(ca).filter(|ca| !ca.is_empty()) }
    }
}

#[cfg(test)]
impl Provider {
    fn sample() -> Self {
        Self {
            issuer: "https://id".to_owned(),
            client_id: "stopover".to_owned(),
            audience: "stopover".to_owned(),
            scopes: Vec::new(),
            ca: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_in_time_however_short_it_lives() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut sign_in = SignIn {
            bearer: "secret".to_owned(),
            obtained_at: at(1000),
            expires_at: at(4600),
            refresh_token: Some("secret".to_owned()),
            provider: Provider::sample(),
        };
        assert_eq!(sign_in.due_at(), at(4540));
        sign_in.expires_at = at(1040);
        assert_eq!(sign_in.due_at(), at(1030));
        assert!(!format!("{sign_in:?}").contains("secret"));
    }
}
