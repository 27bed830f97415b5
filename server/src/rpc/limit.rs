//! Says in words that a request was too large. Its size is checked before any of it is kept, by the codec.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::Service;

use super::status::RpcError;

/// Requests that bring migrations.
pub(super) const WHOLE_MIGRATIONS: usize = 16 * 1024 * 1024;
/// Requests of strangers.
pub(super) const SMALL_REQUEST: usize = 64 * 1024;

/// A service whose refusals of too large requests are told apart from other errors.
#[derive(Debug, Clone)]
pub(super) struct Limited<S> {
    inner: S,
    limit: usize,
}

impl<S> Limited<S> {
    /// `limit` is what the service's codec was told.
    pub(super) fn new(inner: S, limit: usize) -> Self {
        Self { inner, limit }
    }
}

impl<S> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (answer, limit) = (self.inner.call(request), self.limit);
        Box::pin(async move {
            let response = answer.await?;
            // The codec knows no other status for it, and nothing here uses this one.
            match Status::from_header_map(response.headers()) {
                Some(status) if status.code() == Code::OutOfRange => {
                    Ok(Status::from(RpcError::TooLarge { limit }).into_http())
                }
                _ => Ok(response),
            }
        })
    }
}

impl<S: NamedService> NamedService for Limited<S> {
    const NAME: &'static str = S::NAME;
}
