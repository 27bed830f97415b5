//! Where the provider takes which question, as it says itself (its discovery document).

use oauth2::{DeviceAuthorizationUrl, HttpRequest, RevocationUrl, TokenUrl};
use reqwest::Client;
use serde::Deserialize;

use super::{Provider, http};
use crate::failure::Failure;

#[derive(Debug, Deserialize)]
pub(super) struct Endpoints {
    issuer: String,
    pub(super) token_endpoint: TokenUrl,
    pub(super) device_authorization_endpoint: Option<DeviceAuthorizationUrl>,
    pub(super) revocation_endpoint: Option<RevocationUrl>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

impl Endpoints {
    pub(super) async fn of(provider: &Provider, client: &Client) -> Result<Self, Failure> {
        let issuer = &provider.issuer;
        let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let away = || {
            Failure::unreachable(format!("could not ask the identity provider {issuer} how to sign in"))
                .with_hint("see that it can be reached from here; a token needs none: stopover login --token")
        };
        let mut request = HttpRequest::new(Vec::new());
        *request.uri_mut() =
            place.parse().map_err(|error: ::http::uri::InvalidUri| away().because(&error))?;
        let answer = http::ask(client.clone(), request).await.map_err(|error| {
            let failure = away().because(&error);
            if format!("{failure:?}").contains("invalid peer certificate") {
                let hint =
                    "`ca` under [oidc] in the server's server.toml names the authority that certifies it";
                return failure.with_hint(hint);
            }
            failure
        })?;
        if answer.status().as_u16() != 200 {
            let message = format!("the identity provider answered {} to {place}", answer.status());
            return Err(Failure::failed(message).with_hint("see `issuer` under [oidc] in server.toml"));
        }
        let found: Self = serde_json::from_slice(answer.body()).map_err(|error| {
            Failure::failed(format!("what {place} answers makes no sense")).because(&error)
        })?;
        if found.issuer != *issuer {
            let message = format!("the identity provider {issuer} calls itself {}", found.issuer);
            return Err(Failure::failed(message).with_hint("see `issuer` under [oidc] in server.toml"));
        }
        Ok(found)
    }

    /// What is asked for: as the server's settings say, or else what is of use; of that which no standard has, what the provider
    /// says to know.
    pub(super) fn scopes(&self, provider: &Provider) -> Vec<String> {
        if !provider.scopes.is_empty() {
            return provider.scopes.clone();
        }
        let known = |scope: &&str| self.scopes_supported.iter().any(|known| known == scope);
        let more = ["groups", "offline_access"].into_iter().filter(known);
        ["openid", "email", "profile"].into_iter().chain(more).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_use_is_asked_for_where_the_provider_knows_it() {
        let endpoints: Endpoints = serde_json::from_value(serde_json::json!({
            "issuer": "https://id", "token_endpoint": "https://id/token",
            "scopes_supported": ["openid", "email", "offline_access", "address"],
        }))
        .unwrap();
        let mut provider = Provider::sample();
        assert_eq!(endpoints.scopes(&provider), ["openid", "email", "profile", "offline_access"]);
        provider.scopes = vec!["openid".to_owned(), "api".to_owned()];
        assert_eq!(endpoints.scopes(&provider), ["openid", "api"]);
    }
}
