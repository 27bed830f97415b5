//! Who an operator is: the holder of the bearer token that each call carries.
//!
//! It wraps a whole service, so that no method can be forgotten, and looks whether the holder has the role that the method
//! needs, somewhere.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use jiff::Timestamp;
use stopover_model::audit::AuditActor;
use stopover_model::id::{EnvironmentName, GroupName, OperatorName};
use stopover_model::role::Grants;
use stopover_proto::token::{OperatorToken, TokenHash};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::Services;
use super::access::Where;
use super::methods::{self, Method};
use super::status::RpcError;
use super::trail::{Trail, peer};
use crate::audit::Audit;
use crate::conductor::Clock;
use crate::people::GroupRoles;
use crate::store::{Store, TokenRow};

/// How soon an open watch ends after its token has, at most, whichever server it was revoked on.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Found in the extensions of each request that got through.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    /// The person: whoever holds several tokens is one.
    pub(super) name: OperatorName,
    /// Of the token that was used.
    pub(super) groups: Vec<GroupName>,
    /// What the token and the groups let them do.
    pub(super) grants: Grants,
    /// What they call.
    pub(super) method: &'static Method,
    pub(super) token: TokenHash,
    /// None: never.
    pub(super) expires_at: Option<Timestamp>,
}

impl Operator {
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<Self, RpcError> {
        request.extensions().get::<Self>().cloned().ok_or(RpcError::NoToken)
    }

    /// Whether they may see what is in an environment.
    pub(super) fn sees(&self, environment: &EnvironmentName) -> bool {
        self.grants.role_in(environment).is_some()
    }

    /// Ends when the token is not good any more, with why.
    pub(super) async fn gone(self, store: Store, clock: Clock) -> RpcError {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            match found(&store, clock(), &self.token).await {
                Ok(_) => {}
                // A store that fails for a moment is no reason to send watchers away.
                Err(RpcError::Store(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "could not check a watcher's token"
                    );
                }
                Err(gone) => return gone,
            }
        }
    }
}

/// A service for operators only.
#[derive(Clone)]
pub(super) struct Authenticated<S> {
    inner: S,
    store: Store,
    roles: Arc<GroupRoles>,
    audit: Arc<Audit>,
    clock: Clock,
}

impl<S> Authenticated<S> {
    pub(super) fn new(inner: S, services: &Services) -> Self {
        let Services { store, roles, audit, clock, .. } = services.clone();
        Self { inner, store, roles, audit, clock }
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that was asked whether it is ready has to take the call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let (store, roles, clock) = (self.store.clone(), Arc::clone(&self.roles), self.clock);
        let audit = Arc::clone(&self.audit);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let (path, from) = (head.uri.path().to_owned(), peer(&head.extensions));
            let what = methods::of_path(&path).map_or("?", |method| method.name);
            match admitted(&store, &roles, clock, &head).await {
                Ok(operator) => {
                    let trail = Trail::new(&audit, AuditActor::Operator(operator.name.clone()), from, what);
                    head.extensions.insert(operator);
                    head.extensions.insert(trail.clone());
                    let response = inner.call(Request::from_parts(head, body)).await?;
                    trail.ended(Status::from_header_map(response.headers()).as_ref()).await;
                    Ok(response)
                }
                Err(error) => {
                    let by = match &error {
                        RpcError::Lacking(lacking) => AuditActor::Operator(lacking.by.clone()),
                        _ => AuditActor::Stranger,
                    };
                    let status = Status::from(error);
                    Trail::new(&audit, by, from, what).ended(Some(&status)).await;
                    Ok(status.into_http())
                }
            }
        })
    }
}

impl<S: NamedService> NamedService for Authenticated<S> {
    const NAME: &'static str = S::NAME;
}

/// Whoever may call the method somewhere; whether that is where they want it, the method says.
async fn admitted(
    store: &Store,
    roles: &GroupRoles,
    clock: Clock,
    request: &Parts,
) -> Result<Operator, RpcError> {
    let token = token_of(&request.headers)?.hash();
    let found = found(store, clock(), &token).await?;
    let path = request.uri.path();
    let method = methods::of_path(path).ok_or_else(|| RpcError::NoMethod(path.to_owned()))?;
    let mut grants = found.roles.clone();
    grants.extend(roles.of(&found.groups).iter());
    let TokenRow { operator: name, groups, expires_at, .. } = found;
    let operator = Operator { name, groups, grants, method, token, expires_at };
    operator.may(store, clock, &Where::Anywhere).await?;
    Ok(operator)
}

fn token_of(headers: &HeaderMap) -> Result<OperatorToken, RpcError> {
    let header = headers.get(AUTHORIZATION).ok_or(RpcError::NoToken)?;
    let token = header.to_str().ok().and_then(bearer).ok_or(RpcError::BadToken)?;
    token.parse().map_err(|_| RpcError::BadToken)
}

/// Tokens are looked up by their hash: how long it takes tells nothing about a secret.
async fn found(store: &Store, now: Timestamp, token: &TokenHash) -> Result<TokenRow, RpcError> {
    let found = store.operator_token(token).await?.ok_or(RpcError::BadToken)?;
    if let Some(at) = found.revoked_at {
        return Err(RpcError::TokenRevoked { id: found.id, at });
    }
    match found.expires_at {
        Some(at) if at <= now => Err(RpcError::TokenEnded { id: found.id, operator: found.operator, at }),
        _ => Ok(found),
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
