//! Who an operator is: the holder of the bearer token that each call carries, which was made here or by the identity provider.
//!
//! It wraps a whole service, so that no method can be forgotten, and looks whether the holder has the role that the method
//! needs, somewhere.

use std::convert::Infallible;
use std::str::FromStr as _;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use jiff::Timestamp;
use stopover_model::audit::{AuditActor, Through};
use stopover_model::id::{EnvironmentName, GroupName, OperatorName, TokenId};
use stopover_model::role::Grants;
use stopover_proto::token::{OperatorToken, TokenHash, looks_signed};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::Service;

use super::Services;
use super::lacking::Where;
use super::limit::SMALL_REQUEST;
use super::methods::{self, Method};
use super::status::RpcError;
use super::trail::{By, Trail, peer};
use crate::audit::Audit;
use crate::conductor::Clock;
use crate::oidc::{Oidc, OidcError, SignedIn};
use crate::people::GroupRoles;
use crate::store::{Account, Met, Store, TokenRow};

/// How soon an open watch ends after its token has, at most, whichever server it was revoked on.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Found in the extensions of each request that got through.
#[derive(Debug, Clone)]
pub(super) struct Operator {
    /// The person: whoever holds several tokens is one, and so is an account of the identity provider, however it is
    /// called there now.
    pub(super) name: OperatorName,
    /// Of the token that was used, or as the identity provider names them.
    pub(super) groups: Vec<GroupName>,
    /// What the token and the groups let them do.
    pub(super) grants: Grants,
    /// What they call.
    pub(super) method: &'static Method,
    pub(super) came: Came,
    /// None: never.
    pub(super) expires_at: Option<Timestamp>,
}

/// How somebody came in.
#[derive(Debug, Clone)]
pub(super) enum Came {
    ByToken { id: TokenId, hash: TokenHash, roles: Grants },
    ByOidc { issuer: String, subject: String, called: OperatorName, roles: Arc<GroupRoles> },
}

impl Came {
    fn through(&self) -> Through {
        match self {
            Self::ByToken { id, .. } => Through::Token(id.clone()),
            Self::ByOidc { issuer, subject, .. } => {
                Through::Oidc { issuer: issuer.clone(), subject: subject.clone() }
            }
        }
    }
}

impl Operator {
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<Self, RpcError> {
        request.extensions().get::<Self>().cloned().ok_or(RpcError::NoToken)
    }

    fn by(&self) -> By {
        By { actor: AuditActor::Operator(self.name.clone()), through: Some(self.came.through()) }
    }

    /// Whether they may see what is in an environment.
    pub(super) fn sees(&self, environment: &EnvironmentName) -> bool {
        self.grants.role_in(environment).is_some()
    }

    /// That the time of a sign-in is over, to the second: no watch lives on the leeway that a call has.
    pub(super) fn ended(&self, now: Timestamp) -> Option<RpcError> {
        let signed_in = matches!(self.came, Came::ByOidc { .. });
        let at = self.expires_at.filter(|at| signed_in && *at <= now)?;
        Some(OidcError::Ended { name: Some(self.name.clone()), at }.into())
    }

    /// Ends when the token is not good any more, with why.
    pub(super) async fn gone(self, store: Store, clock: Clock) -> RpcError {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let hash = match &self.came {
                Came::ByToken { hash, .. } => hash,
                Came::ByOidc { .. } => match self.ended(clock()) {
                    Some(ended) => return ended,
                    None => continue,
                },
            };
            match found(&store, clock(), hash).await {
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
    door: Door,
    audit: Arc<Audit>,
}

/// What is looked up of whoever comes.
#[derive(Clone)]
struct Door {
    store: Store,
    roles: Arc<GroupRoles>,
    oidc: Option<Arc<Oidc>>,
    clock: Clock,
}

impl<S> Authenticated<S> {
    pub(super) fn new(inner: S, services: &Services) -> Self {
        let Services { store, roles, oidc, audit, clock, .. } = services.clone();
        Self { inner, door: Door { store, roles, oidc, clock }, audit }
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
        let (door, audit) = (self.door.clone(), Arc::clone(&self.audit));
        Box::pin(async move {
            if methods::is_open(request.uri().path()) {
                // A stranger's request is a small one.
                return inner
                    .call(request.map(|body| Body::new(http_body_util::Limited::new(body, SMALL_REQUEST))))
                    .await;
            }
            let (mut head, body) = request.into_parts();
            let (path, from) = (head.uri.path().to_owned(), peer(&head.extensions));
            let what = methods::of_path(&path).map_or("?", |method| method.name);
            match door.admits(&head).await {
                Ok(operator) => {
                    let trail = Trail::new(&audit, operator.by(), from, what);
                    head.extensions.insert(operator);
                    head.extensions.insert(trail.clone());
                    let response = inner.call(Request::from_parts(head, body)).await?;
                    trail.ended(Status::from_header_map(response.headers()).as_ref()).await;
                    Ok(response)
                }
                Err(Refused { by, error }) => {
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

/// Nobody is let in; who it was, as far as that is known.
struct Refused {
    by: By,
    error: RpcError,
}

impl<E: Into<RpcError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self { by: By { actor: AuditActor::Stranger, through: None }, error: error.into() }
    }
}

impl Door {
    /// Whoever may call the method somewhere; whether that is where they want it, the method says.
    async fn admits(&self, request: &Parts) -> Result<Operator, Refused> {
        let path = request.uri.path();
        let method = methods::of_path(path).ok_or_else(|| RpcError::NoMethod(path.to_owned()));
        let shown = shown(&request.headers)?;
        let operator = match OperatorToken::from_str(shown) {
            Ok(token) => self.holder(&token, method).await?,
            Err(_) if looks_signed(shown) => self.signed_in(shown, method).await?,
            Err(_) => return Err(RpcError::BadToken.into()),
        };
        let may = operator.may(&self.store, self.clock, &Where::Anywhere).await;
        may.map_err(|error| Refused { by: operator.by(), error })?;
        Ok(operator)
    }

    async fn holder(
        &self,
        token: &OperatorToken,
        method: Result<&'static Method, RpcError>,
    ) -> Result<Operator, RpcError> {
        let hash = token.hash();
        let TokenRow { id, operator: name, groups, roles, expires_at, .. } =
            found(&self.store, (self.clock)(), &hash).await?;
        let mut grants = roles.clone();
        grants.extend(self.roles.of(&groups).iter());
        let came = Came::ByToken { id, hash, roles };
        Ok(Operator { name, groups, grants, method: method?, came, expires_at })
    }

    async fn signed_in(
        &self,
        token: &str,
        method: Result<&'static Method, RpcError>,
    ) -> Result<Operator, RpcError> {
        let oidc = self.oidc.as_ref().ok_or(RpcError::NoOidc)?;
        let SignedIn { name: called, subject, groups, expires_at } =
            oidc.check(token, (self.clock)()).await?;
        let grants = self.roles.of(&groups);
        let settings = oidc.settings();
        let issuer = settings.issuer.clone();
        let claim = settings.name_claim.clone();
        let account = Account { issuer: issuer.clone(), claim, subject: subject.clone() };
        let name = match self.store.person(&account).await? {
            Some(name) => name,
            // Who may do nothing is refused by the name that was given, and takes it from nobody.
            None if grants.is_empty() => called.clone(),
            None => match self.store.meet(&account, &called, (self.clock)()).await? {
                Met::As(name) => name,
                Met::NameTaken => return Err(RpcError::NameTaken { name: called, issuer, subject }),
            },
        };
        let came = Came::ByOidc { issuer, subject, called, roles: Arc::clone(&self.roles) };
        Ok(Operator { name, groups, grants, method: method?, came, expires_at: Some(expires_at) })
    }
}

fn shown(headers: &HeaderMap) -> Result<&str, RpcError> {
    let header = headers.get(AUTHORIZATION).ok_or(RpcError::NoToken)?;
    header.to_str().ok().and_then(bearer).ok_or(RpcError::BadToken)
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
