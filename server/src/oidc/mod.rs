//! Sign-in by OIDC: whom a token (JWT) of the one identity provider of server.toml stands for.
//!
//! ```text
//! JWT -> header: algorithm, key -> keys: those that the provider publishes -> signature -> claims -> SignedIn
//! ```
//!
//! Nobody is sent anywhere from here and no code is exchanged: that is the command line's. What somebody may do is said by
//! the roles of their groups, which are not known here either.

mod claims;
mod error;
mod header;
mod keys;
mod signature;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode};
use stopover_model::id::{GroupName, OperatorName};

pub use crate::config::OidcSettings;
use claims::Claims;
pub use error::OidcError;
use header::Header;
use keys::Keys;

/// How far the provider's clock and ours may be apart.
const LEEWAY: Duration = Duration::from_secs(10);

/// The identity provider, and what of its tokens counts.
#[derive(Debug)]
pub struct Oidc {
    settings: OidcSettings,
    keys: Keys,
}

/// Somebody for whom the provider has spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// What they are called there now: who they are is their subject.
    pub name: OperatorName,
    /// Who they are at the provider, whatever they are called.
    pub subject: String,
    pub groups: Vec<GroupName>,
    pub expires_at: Timestamp,
}

impl Oidc {
    /// Asks nobody anything yet.
    pub fn new(settings: OidcSettings) -> Result<Self, reqwest::Error> {
        Self::with_pace(settings, keys::Pace::default())
    }

    fn with_pace(settings: OidcSettings, pace: keys::Pace) -> Result<Self, reqwest::Error> {
        signature::install();
        let keys = Keys::new(&settings, pace)?;
        Ok(Self { settings, keys })
    }

    #[must_use]
    pub fn settings(&self) -> &OidcSettings {
        &self.settings
    }

    /// Fetches the provider's keys before somebody comes, and logs where that can't be done.
    pub async fn prepare(&self) {
        self.keys.prepare().await;
    }

    /// Whom a token stands for now.
    pub async fn check(&self, token: &str, now: Timestamp) -> Result<SignedIn, OidcError> {
        let header = Header::of(token, &self.settings.issuer)?;
        let mut validation = Validation::new(header.algorithm);
        // The claims are looked at below, with the server's clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        for key in self.keys.find(header.key.as_deref(), header.algorithm).await? {
            match decode::<Claims>(token, &key, &validation) {
                Ok(signed) => return signed.claims.check(&self.settings, now, LEEWAY),
                Err(error) if matches!(error.kind(), ErrorKind::Json(_)) => {
                    let why = format!("what it says makes no sense ({error})");
                    return Err(OidcError::Malformed { issuer: self.settings.issuer.clone(), why });
                }
                Err(_) => {}
            }
        }
        Err(OidcError::Signature { issuer: self.settings.issuer.clone() })
    }
}
