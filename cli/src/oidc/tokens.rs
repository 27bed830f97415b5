//! What the provider's token endpoint gives, renews and takes back.

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, Client, ClientId, ErrorResponse, ExtraTokenFields, RefreshToken, RequestTokenError,
    StandardRevocableToken, StandardTokenResponse, TokenResponse as _,
};
use serde::{Deserialize, Serialize};

use super::endpoints::Endpoints;
use super::{Provider, SignIn, http};
use crate::failure::Failure;

pub(super) type Tokens = StandardTokenResponse<WithIdToken, BasicTokenType>;

/// What is asked at the provider, without where.
pub(super) type Asking = Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WithIdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for WithIdToken {}

#[derive(Deserialize)]
struct Times {
    exp: serde_json::Number,
}

/// Public: the command line has no secret that it could keep.
pub(super) fn asking(provider: &Provider) -> Asking {
    Client::new(ClientId::new(provider.client_id.clone())).set_auth_type(AuthType::RequestBody)
}

impl SignIn {
    /// The one of the tokens that is for the server. `before` is what a refresh began with.
    pub(super) fn of(
        provider: &Provider,
        tokens: &Tokens,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let issuer = &provider.issuer;
        let bearer = if provider.audience == provider.client_id {
            let id_token = tokens.extra_fields().id_token.clone();
            id_token.ok_or_else(|| match before {
                None => Failure::failed(format!("{issuer} gave no ID token"))
                    .with_hint("`scopes` under [oidc] in server.toml has to hold openid"),
                Some(_) => Failure::failed(format!("{issuer} gives no ID token when a sign-in is renewed"))
                    .with_hint("stopover login"),
            })?
        } else {
            tokens.access_token().secret().clone()
        };
        let expires_at = end_of(&bearer).ok_or_else(|| {
            Failure::failed(format!("what {issuer} gave is no signed token (JWT) with an end")).with_hint(format!(
                "let {issuer} give access tokens for the audience {} as JWT, or leave out `audience` under [oidc] in \
                 server.toml",
                provider.audience
            ))
        })?;
        let fresh = tokens.refresh_token().map(|token| token.secret().clone());
        Ok(Self {
            bearer,
            obtained_at: now,
            expires_at,
            // Where none comes with a renewal, the one before goes on.
            refresh_token: fresh.or_else(|| before.and_then(|before| before.refresh_token.clone())),
            provider: provider.clone(),
        })
    }
}

/// What a renewal came to.
pub(super) enum Renewed {
    To(Box<SignIn>),
    /// The provider will not renew it any more.
    Never(Failure),
    /// Another try may do.
    NotNow(Failure),
}

pub(super) async fn renew(before: &SignIn, refresh_token: &str, now: Timestamp) -> Renewed {
    let provider = &before.provider;
    let client = match http::client(provider) {
        Ok(client) => client,
        Err(failure) => return Renewed::NotNow(failure),
    };
    let endpoints = match Endpoints::of(provider, &client).await {
        Ok(endpoints) => endpoints,
        Err(failure) => return Renewed::NotNow(failure),
    };
    let ask = |request| http::ask(client.clone(), request);
    let asking = asking(provider).set_token_uri(endpoints.token_endpoint);
    let token = RefreshToken::new(refresh_token.to_owned());
    match asking.exchange_refresh_token(&token).request_async(&ask).await {
        Ok(tokens) => match SignIn::of(provider, &tokens, Some(before), now) {
            Ok(fresh) => Renewed::To(Box::new(fresh)),
            Err(failure) => Renewed::Never(failure),
        },
        Err(RequestTokenError::ServerResponse(said))
            if matches!(said.error(), BasicErrorResponseType::InvalidGrant) =>
        {
            let why = said.error_description().map(|why| format!(" ({why})")).unwrap_or_default();
            let message = format!("{} does not renew the sign-in any more{why}", provider.issuer);
            Renewed::Never(Failure::usage(message).with_hint("stopover login"))
        }
        Err(error) => Renewed::NotNow(told(provider, "renew the sign-in", &error)),
    }
}

/// Tells the provider that nobody is to come with it any more; false where it takes no such word.
pub async fn revoke(sign_in: &SignIn) -> Result<bool, Failure> {
    let provider = &sign_in.provider;
    let client = http::client(provider)?;
    let endpoints = Endpoints::of(provider, &client).await?;
    let Some(place) = endpoints.revocation_endpoint else { return Ok(false) };
    let Some(token) = &sign_in.refresh_token else {
        // An ID token can't be taken back; an access token that is looked at by its signature goes on as well.
        return Ok(false);
    };
    let ask = |request| http::ask(client.clone(), request);
    let asking = asking(provider).set_revocation_url(place);
    let token = StandardRevocableToken::from(RefreshToken::new(token.clone()));
    let question = asking.revoke_token(token).map_err(|error| {
        Failure::failed("the identity provider's address for revocations is not usable").because(&error)
    })?;
    question.request_async(&ask).await.map_err(|error| told(provider, "revoke the sign-in", &error))?;
    Ok(true)
}

/// What a question came to, where it did not go well.
pub(super) fn told<T: ErrorResponse + 'static>(
    provider: &Provider,
    what: &str,
    error: &RequestTokenError<http::HttpError, T>,
) -> Failure {
    let issuer = &provider.issuer;
    match error {
        RequestTokenError::Request(error) => {
            Failure::unreachable(format!("could not {what} at {issuer}")).because(error as &(dyn Error + 'static))
        }
        RequestTokenError::ServerResponse(said) => {
            Failure::failed(format!("{issuer} refused to {what}: {said}")).with_hint(format!(
                "{issuer} has to know {} as a public client that may use the device flow and refresh tokens; see [oidc] \
                 in server.toml",
                provider.client_id
            ))
        }
        RequestTokenError::Parse(error, _) => {
            Failure::failed(format!("what {issuer} answered makes no sense")).because(error)
        }
        RequestTokenError::Other(why) => Failure::failed(format!("could not {what} at {issuer}: {why}")),
    }
}

/// When a token ends by its own word; nothing else of it is looked at here.
fn end_of(token: &str) -> Option<Timestamp> {
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let Times { exp } = serde_json::from_slice(&claims).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "a fraction of a second counts for nothing here")]
    let seconds = exp.as_i64().or_else(|| exp.as_f64().map(|seconds| seconds as i64))?;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &serde_json::Value) -> String {
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(&json!({ "alg": "RS256" })), part(claims))
    }

    fn given(answer: &serde_json::Value, audience: &str, before: Option<&SignIn>) -> Result<SignIn, Failure> {
        let provider = Provider { audience: audience.to_owned(), ..Provider::sample() };
        let tokens: Tokens = serde_json::from_value(answer.clone()).unwrap();
        SignIn::of(&provider, &tokens, before, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_token_that_is_for_the_server_is_kept() {
        let (id, access) = (token(&json!({ "exp": 100 })), token(&json!({ "exp": 200.5 })));
        let answer = json!({
            "access_token": access, "token_type": "bearer", "id_token": id, "refresh_token": "r1", "expires_in": 7,
        });
        let first = given(&answer, "stopover", None).unwrap();
        assert_eq!((first.bearer.as_str(), first.expires_at.as_second()), (id.as_str(), 100));
        let for_an_audience = given(&answer, "https://api", None).unwrap();
        assert_eq!(
            (for_an_audience.bearer.as_str(), for_an_audience.expires_at.as_second()),
            (access.as_str(), 200)
        );

        let renewed = json!({ "access_token": access, "token_type": "bearer", "id_token": id });
        let renewed = given(&renewed, "stopover", Some(&first)).unwrap();
        assert_eq!(renewed.refresh_token.as_deref(), Some("r1"), "the one before goes on");
    }

    #[test]
    fn what_is_no_use_is_refused_with_the_way_out() {
        let opaque = json!({ "access_token": "opaque", "token_type": "bearer" });
        for (audience, words) in [
            ("stopover", "gave no ID token"),
            ("https://api", "give access tokens for the audience https://api as JWT"),
        ] {
            let failure = crate::render::line::text(&given(&opaque, audience, None).unwrap_err().lines());
            assert!(failure.contains(words), "{failure}");
        }
    }
}
