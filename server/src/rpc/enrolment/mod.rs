//! How an agent gets its certificate: for a join token at first, for the certificate that it has later.

mod guesses;

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use prost::Message as _;
use stopover_model::audit::AuditActor;
use stopover_model::id::AgentName;
use stopover_proto::convert::field::timestamp;
use stopover_proto::token::JoinToken;
use stopover_proto::v1;
use stopover_proto::v1::enrolment_server::Enrolment;
use tonic::{Request, Response, Status};

use super::status::RpcError;
use super::trail::Trail;
use super::{Services, tunnel};
use crate::authority::{AgentCertificate, AgentIdentity};
use crate::store::Redeemed;
use guesses::{Guesses, Try};

/// The Enrolment service.
#[derive(Clone)]
pub(super) struct Enrolling {
    services: Services,
    guesses: Arc<Guesses>,
}

impl Enrolling {
    pub(super) fn new(services: Services) -> Self {
        Self { services, guesses: Arc::default() }
    }

    async fn trade_token(
        &self,
        request: v1::JoinRequest,
        from: Option<IpAddr>,
        trail: &Trail,
    ) -> Result<v1::JoinResponse, RpcError> {
        let agent: AgentName = request.agent.parse().map_err(RpcError::id("agent"))?;
        let attempt = self.guess(from).await?;
        // Looked at before the token is: a request that can't be certified must not use it up.
        self.services.authority.check_request(&request.csr)?;
        let token: JoinToken = request.token.parse()?;
        let now = (self.services.clock)();
        let redeemed = self.redeem(&token, &agent, &request, trail, now).await;
        if !matches!(redeemed, Ok(Redeemed::Refused)) {
            // Nor is it when nobody could look: that is our fault.
            attempt.was_not_wrong();
        }
        let environment = match redeemed? {
            Redeemed::Environment(environment) => environment,
            Redeemed::NameTaken => return Err(RpcError::AgentNameTaken(agent)),
            Redeemed::Refused => {
                tracing::warn!(%agent, ?from, "refused a join token");
                return Err(RpcError::JoinRefused);
            }
        };
        let issued = self.services.authority.issue_agent(&request.csr, &environment, &agent, now)?;
        let identity = self.recorded(&agent, issued).await?;
        tracing::info!(%agent, %environment, "an agent has joined");
        Ok(v1::JoinResponse { identity: Some(identity), environment: environment.to_string() })
    }

    async fn redeem(
        &self,
        token: &JoinToken,
        agent: &AgentName,
        request: &v1::JoinRequest,
        trail: &Trail,
        now: Timestamp,
    ) -> Result<Redeemed, RpcError> {
        trail.asked(format!("agent {agent}"), &request.encode_to_vec()).await?;
        Ok(self.services.store.redeem_join_token(&token.hash(), agent, now).await?)
    }

    async fn renew_certificate(
        &self,
        identity: &AgentIdentity,
        request: v1::RenewRequest,
    ) -> Result<v1::RenewResponse, RpcError> {
        tunnel::check(&self.services.store, identity).await?;
        let AgentIdentity { agent, environment, .. } = identity;
        let now = (self.services.clock)();
        let issued = self.services.authority.issue_agent(&request.csr, environment, agent, now)?;
        Ok(v1::RenewResponse { identity: Some(self.recorded(agent, issued).await?) })
    }

    /// Written down before it is handed out, or it would open nothing.
    async fn recorded(&self, agent: &AgentName, issued: AgentCertificate) -> Result<v1::Identity, RpcError> {
        let AgentCertificate { der, serial, not_after } = issued;
        self.services.store.record_certificate(agent, &serial.to_string(), not_after).await?;
        Ok(v1::Identity {
            certificate: der,
            authority: self.services.authority.certificate().to_vec(),
            not_after: timestamp::write(not_after),
        })
    }

    async fn guess(&self, from: Option<IpAddr>) -> Result<Try, RpcError> {
        self.guesses.begin(from).await.map_err(|wait| {
            tracing::warn!(?from, "too many wrong join tokens");
            RpcError::Guessing { seconds: wait.as_secs().max(1) }
        })
    }
}

#[tonic::async_trait]
impl Enrolment for Enrolling {
    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinResponse>, Status> {
        let from = request.remote_addr();
        let trail = Trail::new(&self.services.audit, AuditActor::Stranger, from, "Join");
        let joined = self.trade_token(request.into_inner(), from.map(|address| address.ip()), &trail).await;
        let joined = joined.map_err(Status::from);
        trail.ended(joined.as_ref().err()).await;
        Ok(Response::new(joined?))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let identity = tunnel::identity_of(&request)?;
        let by = AuditActor::Agent(identity.agent.clone());
        let trail = Trail::new(&self.services.audit, by, request.remote_addr(), "Renew");
        let renewed = self.renew_certificate(&identity, request.into_inner()).await.map_err(Status::from);
        trail.ended(renewed.as_ref().err()).await;
        Ok(Response::new(renewed?))
    }
}
