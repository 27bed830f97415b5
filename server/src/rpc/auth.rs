//! Who an operator is: the holder of the bearer token that each call carries.
//!
//! It wraps a whole service, so that no method can be forgotten.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use jiff::Timestamp;
use stopover_model::id::{GroupName, OperatorName};
use stopover_proto::token::OperatorToken;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::status::RpcError;
use crate::conductor::Clock;
use crate::store::Store;

/// Found in the extensions of each request that got through.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    /// The person: whoever holds several tokens is one.
    pub(super) name: OperatorName,
    /// Of the token that was used.
    pub(super) groups: Vec<GroupName>,
    admin: bool,
}

impl Operator {
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<OperatorName, RpcError> {
        Self::whole(request).map(|operator| operator.name)
    }

    /// With what their token lets them do.
    pub(super) fn whole<T>(request: &tonic::Request<T>) -> Result<Self, RpcError> {
        request.extensions().get::<Self>().cloned().ok_or(RpcError::NoToken)
    }

    /// The name, where the token is an administrator's.
    pub(super) fn admin<T>(
        request: &tonic::Request<T>,
        wish: &'static str,
    ) -> Result<OperatorName, RpcError> {
        let operator = Self::whole(request)?;
        if operator.admin { Ok(operator.name) } else { Err(RpcError::NotAdmin { by: operator.name, wish }) }
    }
}

/// A service for operators only.
#[derive(Debug, Clone)]
pub(super) struct Authenticated<S> {
    inner: S,
    store: Store,
    clock: Clock,
}

impl<S> Authenticated<S> {
    pub(super) fn new(inner: S, store: Store, clock: Clock) -> Self {
        Self { inner, store, clock }
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
        let (store, now) = (self.store.clone(), (self.clock)());
        Box::pin(async move {
            match operator(&store, now, request.headers()).await {
                Ok(operator) => {
                    request.extensions_mut().insert(operator);
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
async fn operator(store: &Store, now: Timestamp, headers: &HeaderMap) -> Result<Operator, RpcError> {
    let header = headers.get(AUTHORIZATION).ok_or(RpcError::NoToken)?;
    let token = header.to_str().ok().and_then(bearer).ok_or(RpcError::BadToken)?;
    let token: OperatorToken = token.parse().map_err(|_| RpcError::BadToken)?;
    let found = store.operator_token(&token.hash()).await?.ok_or(RpcError::BadToken)?;
    if let Some(at) = found.revoked_at {
        return Err(RpcError::TokenRevoked { id: found.id, at });
    }
    match found.expires_at {
        Some(at) if at <= now => Err(RpcError::TokenEnded { id: found.id, operator: found.operator, at }),
        _ => Ok(Operator { name: found.operator, groups: found.groups, admin: found.admin }),
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
