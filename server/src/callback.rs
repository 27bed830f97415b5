//! `POST /v1/hooks/TOKEN`: a receiver that was called says how its hook went.
//!
//! The token says which attempt is meant, and the signature, with the hook's secret, who says so. The same said twice is
//! answered the same and changes nothing.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use serde_json::json;
use stopover_model::gate::{HookOutcome, HookRun};
use stopover_model::pipeline::HookWay;
use stopover_proto::token::HookToken;

use crate::conductor::{Clock, ConductError, Conductor};
use crate::hooks::{CALLBACK_PATH, Said};
use crate::notify::{Sender, Signature};
use crate::store::{HookAttempt, Store};

const LONGEST_BODY: usize = 16 * 1024;
/// For all of the body to come.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What answers are taken with. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    pub store: Store,
    pub conductor: Conductor,
    pub sender: Sender,
    pub clock: Clock,
}

/// Whether a request is one for the routes here.
pub fn is_callback<B>(request: &Request<B>) -> bool {
    let token = request.uri().path().strip_prefix(CALLBACK_PATH);
    request.method() == Method::POST && token.is_some_and(|token| !token.is_empty() && !token.contains('/'))
}

/// They are beside the services of the port.
pub fn routes(desk: Desk) -> Router {
    Router::new().route("/v1/hooks/{token}", post(take)).with_state(desk)
}

async fn take(
    State(desk): State<Desk>,
    Path(token): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (status, body) = match desk.take(&token, &headers, body).await {
        Ok(outcome) => (StatusCode::OK, json!({ "recorded": outcome })),
        Err(Refusal(status, error)) => (status, json!({ "error": error })),
    };
    let mut response = Response::new(Body::from(format!("{body}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

struct Refusal(StatusCode, String);

impl Desk {
    async fn take(&self, token: &str, headers: &HeaderMap, body: Body) -> Result<HookOutcome, Refusal> {
        let no_token = |_| Refusal(StatusCode::NOT_FOUND, "nothing waits for this token".into());
        let token: HookToken = token.parse().map_err(no_token)?;
        let read = tokio::time::timeout(BODY_WITHIN, to_bytes(body, LONGEST_BODY)).await;
        let body = match read {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, "16 KiB are the most".into())),
            Err(_) => return Err(Refusal(StatusCode::REQUEST_TIMEOUT, "the body did not come".into())),
        };
        let of = self.store.hook_token(&token.hash()).await.map_err(|error| away(&error))?;
        let Some(of) = of else { return Err(no_token(stopover_proto::token::InvalidToken::Hook)) };
        self.check(&of, headers, &body).await?;
        let unclear = "say {\"status\": \"passed\"}, or {\"status\": \"failed\", \"reason\": \"why\"}";
        let outcome = Said::read(&body)
            .map_err(|error| Refusal(StatusCode::BAD_REQUEST, format!("{unclear} ({error})")))?
            .outcome();
        self.enter(&of, outcome).await
    }

    /// Whether it is by somebody who has the hook's secret.
    async fn check(&self, of: &HookAttempt, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
        let deployment = self.conductor.state_of(&of.deployment).await.map_err(refused)?;
        let stage = deployment.stage(of.stage);
        let hook = stage.and_then(|stage| stage.spec.hooks.iter().find(|hook| hook.name == of.hook));
        let Some(HookWay::Webhook { secret, .. }) = hook.map(|hook| &hook.way) else {
            return Err(Refusal(StatusCode::NOT_FOUND, "nothing waits for this token".into()));
        };
        let secret = self.sender.secret(secret).map_err(|error| {
            tracing::error!(deployment = %of.deployment, hook = %of.hook, error = &error as &dyn std::error::Error,
                "the answer of a hook can't be checked");
            Refusal(StatusCode::SERVICE_UNAVAILABLE, "the server can't read the hook's secret; its log says why".into())
        })?;
        Signature::check(&secret, headers, (self.clock)(), body).map_err(|error| {
            tracing::warn!(deployment = %of.deployment, hook = %of.hook, error = &error as &dyn std::error::Error,
                "refused the answer of a hook");
            Refusal(StatusCode::UNAUTHORIZED, error.to_string())
        })
    }

    async fn enter(&self, of: &HookAttempt, outcome: HookOutcome) -> Result<HookOutcome, Refusal> {
        let Err(error) = self.conductor.answer_hook(of.clone(), outcome.clone()).await else {
            return Ok(outcome);
        };
        // It may have been said before.
        let deployment = self.conductor.state_of(&of.deployment).await.map_err(refused)?;
        let run = deployment.stage(of.stage).and_then(|stage| stage.gates.hooks.get(&of.hook));
        match run {
            Some(HookRun { attempt, ended: Some(end), .. })
                if *attempt == of.attempt && end.outcome == outcome =>
            {
                Ok(outcome)
            }
            Some(run) if run.attempt != of.attempt => {
                let words = format!("this was attempt {}, and attempt {} has begun", of.attempt, run.attempt);
                Err(Refusal(StatusCode::GONE, words))
            }
            _ => Err(refused(error)),
        }
    }
}

fn refused(error: ConductError) -> Refusal {
    match error {
        ConductError::Illegal(_) => Refusal(StatusCode::CONFLICT, error.to_string()),
        ConductError::NoDeployment(_) => Refusal(StatusCode::NOT_FOUND, error.to_string()),
        other => away(&other),
    }
}

/// What it is exactly is no business of whoever calls.
fn away(error: &(dyn std::error::Error + 'static)) -> Refusal {
    tracing::error!(error, "the answer of a hook could not be taken");
    Refusal(StatusCode::SERVICE_UNAVAILABLE, "it could not be written down; say it again in a moment".into())
}
