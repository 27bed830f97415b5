//! What the server calls an agent with: a channel whose every transport failure is UNAVAILABLE once the tunnel has ended.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http_body_util::BodyExt;
use stopover_model::cause;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::Service;

use super::io::State;

/// Give it to a generated client: `AgentClient::new(channel)`. Clones share the tunnel.
///
/// What the agent answers is passed on as it is. A call that fails because the tunnel is gone, before or in the middle of its
/// answer, is UNAVAILABLE: its outcome is not known here.
#[derive(Debug, Clone)]
pub struct AgentChannel {
    inner: Channel,
    state: Arc<State>,
}

impl AgentChannel {
    pub(super) fn new(inner: Channel, state: Arc<State>) -> Self {
        Self { inner, state }
    }
}

impl Service<http::Request<Body>> for AgentChannel {
    type Response = http::Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let state = &self.state;
        self.inner.poll_ready(cx).map_err(|error| status_of(state, Box::new(error)))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let call = self.inner.call(request);
        let state = Arc::clone(&self.state);
        Box::pin(async move {
            match call.await {
                Ok(response) => Ok(response.map(|body| {
                    Body::new(body.map_err(move |status: Status| status_of(&state, Box::new(status))))
                })),
                Err(error) => Err(status_of(&state, Box::new(error))),
            }
        })
    }
}

fn status_of(state: &State, error: Box<dyn Error + Send + Sync>) -> Status {
    let connection_lost = state.reason().is_some() || caused_by_io(&*error);
    let status = Status::from_error(error);
    // A call that is cancelled without anyone here having cancelled it lost its connection just before the tunnel's end shows.
    if connection_lost || status.code() == Code::Cancelled {
        let why = state.reason().map_or_else(|| status.message().to_owned(), ToString::to_string);
        return Status::unavailable(format!("the agent's tunnel ended during the call: {why}"));
    }
    status
}

fn caused_by_io(error: &(dyn Error + 'static)) -> bool {
    cause::each(error).any(<dyn Error>::is::<io::Error>)
}
