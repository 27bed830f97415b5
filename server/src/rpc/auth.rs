//! Who an operator is: the holder of the bearer token that each call carries.
//!
//! It wraps a whole service, so that no method can be forgotten.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use stopover_model::id::OperatorName;
use stopover_proto::token::OperatorToken;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::status::RpcError;
use crate::store::Store;

/// Found in the extensions of each request that got through.
#[derive(Debug, Clone)]
pub(super) struct Operator(pub(super) OperatorName);

impl Operator {
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<OperatorName, RpcError> {
        request.extensions().get::<Self>().map(|operator| operator.0.clone()).ok_or(RpcError::NoToken)
    }
}

/// A service for operators only.
#[derive(Debug, Clone)]
pub(super) struct Authenticated<S> {
    inner: S,
    store: Store,
}

impl<S> Authenticated<S> {
    pub(super) fn new(inner: S, store: Store) -> Self {
        Self { inner, store }
    }
}

impl<S> Service<Request<Body>> for Authenticated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The one that was asked whether it is ready has to take the call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let store = self.store.clone();
        Box::pin(async move {
            match operator(&store, request.headers()).await {
                Ok(name) => {
                    request.extensions_mut().insert(Operator(name));
                    inner.call(request).await
                }
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}

impl<S: NamedService> NamedService for Authenticated<S> {
    const NAME: &'static str = S::NAME;
}

/// Tokens are looked up by their hash: how long it takes tells nothing about a secret.
async fn operator(store: &Store, headers: &HeaderMap) -> Result<OperatorName, RpcError> {
    let header = headers.get(AUTHORIZATION).ok_or(RpcError::NoToken)?;
    let token = header.to_str().ok().and_then(bearer).ok_or(RpcError::BadToken)?;
    let token: OperatorToken = token.parse().map_err(|_| RpcError::BadToken)?;
    store.operator_of_token(&token.hash()).await?.ok_or(RpcError::BadToken)
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
