//! The device flow: a code that a person types into a browser, on whichever machine that is.

use std::time::Duration;

use jiff::Timestamp;
use oauth2::{
    DeviceAuthorizationResponse, DeviceCodeErrorResponseType, EmptyExtraDeviceAuthorizationFields,
    RequestTokenError, Scope,
};
use serde::Serialize;

use super::endpoints::Endpoints;
use super::tokens::{asking, told};
use super::{Provider, SignIn, http};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::render::line::Line;
use crate::render::number::relative;

type Details = DeviceAuthorizationResponse<EmptyExtraDeviceAuthorizationFields>;

/// What a program does with it, it knows itself.
#[derive(Serialize)]
struct Prompt<'a> {
    verification_uri: &'a str,
    verification_uri_complete: Option<&'a str>,
    user_code: &'a str,
    expires_at: Timestamp,
}

/// Shows where to go with which code, and waits until somebody has been there. Ctrl-C ends it, and nothing is kept.
pub async fn sign_in(provider: &Provider, output: Output) -> Result<SignIn, Failure> {
    tokio::select! {
        signed_in = asked(provider, output) => signed_in,
        _ = tokio::signal::ctrl_c() => Err(Failure::silent(Exit::Detached)),
    }
}

async fn asked(provider: &Provider, output: Output) -> Result<SignIn, Failure> {
    let client = http::client(provider)?;
    let endpoints = Endpoints::of(provider, &client).await?;
    let scopes = endpoints.scopes(provider);
    let place = endpoints.device_authorization_endpoint.ok_or_else(|| {
        Failure::failed(format!("the identity provider {} has no device flow", provider.issuer))
            .with_hint("switch it on there; or log in with a token: stopover login --token")
    })?;
    let ask = |request| http::ask(client.clone(), request);
    let asking = asking(provider).set_device_authorization_url(place).set_token_uri(endpoints.token_endpoint);

    let mut question = asking.exchange_device_code().add_scopes(scopes.into_iter().map(Scope::new));
    if provider.audience != provider.client_id {
        question = question.add_extra_param("audience", provider.audience.clone());
    }
    let details: Details =
        question.request_async(&ask).await.map_err(|error| told(provider, "begin a sign-in", &error))?;
    show(&details, output)?;
    let tokens = asking
        .exchange_device_access_token(&details)
        .set_max_backoff_interval(Duration::from_secs(30))
        .request_async(&ask, tokio::time::sleep, None)
        .await
        .map_err(|error| match &error {
            RequestTokenError::ServerResponse(said) => match said.error() {
                DeviceCodeErrorResponseType::AccessDenied => {
                    Failure::failed(format!("the sign-in was refused at {}", provider.issuer))
                        .with_hint("whoever has the browser said no, or may not use this client")
                }
                DeviceCodeErrorResponseType::ExpiredToken => {
                    Failure::failed("the code ended before anybody had signed in with it")
                        .with_hint("for another: stopover login --oidc")
                }
                _ => told(provider, "sign in", &error),
            },
            _ => told(provider, "sign in", &error),
        })?;
    SignIn::of(provider, &tokens, None, Timestamp::now())
}

fn show(details: &Details, output: Output) -> Result<(), Failure> {
    let now = Timestamp::now();
    let expires_at = now.saturating_add(details.expires_in()).unwrap_or(now);
    let prompt = Prompt {
        verification_uri: details.verification_uri().as_str(),
        verification_uri_complete: details.verification_uri_complete().map(|uri| uri.secret().as_str()),
        user_code: details.user_code().secret(),
        expires_at,
    };
    if output.json {
        return output.json(&prompt);
    }
    let line = Line::new().plain("open ").strong(prompt.verification_uri).plain(" in a browser and type ");
    output.note(&line.strong(prompt.user_code));
    if let Some(complete) = prompt.verification_uri_complete {
        output.note(&Line::new().plain("or open ").strong(complete));
    }
    let ends = relative(expires_at, now);
    output.note(
        &Line::new().plain(format!("waiting for that; the code ends {ends}; with Ctrl-C nothing is kept")),
    );
    Ok(())
}
