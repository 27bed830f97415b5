//! Questions to the provider over HTTP: never redirected, never for long, and no long answer is read.

use std::time::Duration;

use futures::StreamExt as _;
use oauth2::{HttpRequest, HttpResponse};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};

use super::Provider;
use crate::failure::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST: usize = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the identity provider could not be reached")]
    Unreachable(#[from] reqwest::Error),
    #[error("the identity provider's answer is longer than {LONGEST} bytes")]
    TooLong,
    #[error("the identity provider's answer makes no sense")]
    Answer(#[from] ::http::Error),
}

pub(super) fn client(provider: &Provider) -> Result<Client, Failure> {
    let failed = |error: reqwest::Error| {
        Failure::failed("could not prepare the questions to the identity provider").because(&error)
    };
    let authorities = provider.ca.as_deref().unwrap_or_default();
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .https_only(provider.issuer.starts_with("https:"))
        .tls_certs_merge(Certificate::from_pem_bundle(authorities.as_bytes()).map_err(failed)?)
        .user_agent(concat!("stopover/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(failed)
}

/// One question.
pub(super) async fn ask(client: Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let answer = client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let mut response = ::http::Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let (mut body, mut chunks) = (Vec::new(), answer.bytes_stream());
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() > LONGEST {
            return Err(HttpError::TooLong);
        }
    }
    Ok(response.body(body)?)
}
