//! Takes the tunnels of agents, and keeps each in the registry for as long as it is open and its agent may have it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stopover_model::audit::AuditActor;
use stopover_model::id::{DatabaseName, EnvironmentName};
use stopover_model::wave::Labels;
use stopover_proto::convert::InvalidWire;
use stopover_proto::convert::field::{name, names};
use stopover_proto::tunnel::{AgentChannel, Ended, KeepAlive, Outbound, TunnelHandle, accept};
use stopover_proto::v1;
use stopover_proto::v1::agent_client::AgentClient;
use stopover_proto::v1::tunnel_server::Tunnel;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::{Request, Response, Status, Streaming};

use super::Services;
use super::revocations::Revocations;
use super::status::RpcError;
use super::trail::Trail;
use crate::authority::AgentIdentity;
use crate::listener::PeerIdentity;
use crate::registry::AgentLink;
use crate::store::Store;

/// How long an agent may take to say what it serves.
const DESCRIBE: Duration = Duration::from_secs(20);
/// How soon the tunnel of an agent that was revoked is closed, whichever server it was revoked on.
const REVOCATION_CHECK: Duration = Duration::from_secs(3);

/// The Tunnel service.
#[derive(Clone)]
pub(super) struct Tunnels {
    services: Services,
    revocations: Revocations,
}

impl Tunnels {
    pub(super) fn new(services: Services) -> Self {
        Self { services, revocations: Revocations::default() }
    }
}

#[tonic::async_trait]
impl Tunnel for Tunnels {
    type OpenStream = Outbound;

    async fn open(&self, request: Request<Streaming<v1::Chunk>>) -> Result<Response<Outbound>, Status> {
        let identity = identity_of(&request)?;
        if self.services.stopping.is_cancelled() {
            return Err(RpcError::Stopping.into());
        }
        let by = AuditActor::Agent(identity.agent.clone());
        let trail = Trail::new(&self.services.audit, by, request.remote_addr(), "Open");
        if let Err(refused) = check(&self.services.store, &identity).await.map_err(Status::from) {
            trail.ended(Some(&refused)).await;
            return Err(refused);
        }
        let accepted = accept(request.into_inner(), KeepAlive::default()).await?;
        let (services, revocations) = (self.services.clone(), self.revocations.clone());
        let open = OpenTunnel { services, revocations, identity, handle: accepted.handle, trail };
        tokio::spawn(open.keep(accepted.channel));
        Ok(Response::new(accepted.outbound))
    }
}

/// The agent at the other end, by its certificate.
pub(super) fn identity_of<T>(request: &Request<T>) -> Result<Arc<AgentIdentity>, RpcError> {
    match request.extensions().get::<PeerIdentity>() {
        Some(PeerIdentity::Agent(identity)) => Ok(Arc::clone(identity)),
        Some(PeerIdentity::None) | None => Err(RpcError::NotAnAgent),
    }
}

/// The certificate was given out by this server's store, to this agent, and was not taken back.
pub(super) async fn check(store: &Store, identity: &AgentIdentity) -> Result<(), RpcError> {
    let known = store.certificate(&identity.serial.to_string()).await?;
    if known.is_some_and(|certificate| certificate.agent == identity.agent && !certificate.revoked) {
        return Ok(());
    }
    Err(RpcError::AgentRevoked(identity.agent.clone()))
}

struct OpenTunnel {
    services: Services,
    revocations: Revocations,
    identity: Arc<AgentIdentity>,
    handle: TunnelHandle,
    trail: Trail,
}

impl OpenTunnel {
    /// Runs for as long as the tunnel does.
    async fn keep(self, channel: AgentChannel) {
        let agent = &self.identity.agent;
        // Its last clone ends the inner connection; gone before the farewell, the agent would not hear why it was closed.
        let _held = channel.clone();
        match self.introduce(channel).await {
            Ok(link) => {
                tracing::info!(%agent, environment = %link.environment, databases = link.databases.len(), "an agent's tunnel is open");
                let connected = self.services.registry.connect(link);
                let ended = self.watch_over().await;
                drop(connected);
                tracing::info!(%agent, %ended, "an agent's tunnel has ended");
            }
            Err(error) => {
                tracing::warn!(%agent, error = &error as &dyn std::error::Error, "closed an agent's tunnel");
                let status = Status::from(error);
                self.trail.ended(Some(&status)).await;
                self.handle.close(status);
            }
        }
        if let Err(error) = self.services.store.touch_agent(agent, (self.services.clock)()).await {
            tracing::warn!(%agent, error = &error as &dyn std::error::Error, "could not note when an agent was seen");
        }
    }

    /// Asks the agent what it serves, and writes it down.
    async fn introduce(&self, channel: AgentChannel) -> Result<AgentLink, RpcError> {
        let mut client = AgentClient::new(channel.clone());
        let described = timeout(DESCRIBE, client.describe(v1::DescribeRequest {})).await;
        let silent = || Status::deadline_exceeded("the agent did not say in time what it serves");
        let described = described.map_err(|_| silent()).flatten().map_err(RpcError::Tunnel)?.into_inner();
        let environment = &self.identity.environment;
        if described.environment.parse::<EnvironmentName>().ok().as_ref() != Some(environment) {
            return Err(RpcError::OtherEnvironment {
                certified: environment.clone(),
                described: described.environment.escape_debug().to_string(),
            });
        }
        let databases: Vec<DatabaseName> = names::read(described.databases, "databases")?;
        let mut labelled: BTreeMap<DatabaseName, Labels> =
            databases.iter().map(|name| (name.clone(), Labels::default())).collect();
        for told in described.labels {
            let name: DatabaseName = name::read(told.database, "labels.database")?;
            let labels = told.labels.into_iter().collect::<BTreeMap<_, _>>();
            let labels = Labels::try_from(labels).map_err(|why| InvalidWire::new("labels", why))?;
            if let Some(known) = labelled.get_mut(&name) {
                *known = labels;
            }
        }
        let (agent, now) = (&self.identity.agent, (self.services.clock)());
        let version: String = described.version.chars().take(64).collect();
        self.services.store.set_agent_databases(agent, &labelled, &version, now).await?;
        let (agent, environment, queues) = (agent.clone(), environment.clone(), described.queues);
        let databases = databases.into();
        Ok(AgentLink { agent, environment, databases, version, queues, channel })
    }

    /// It was when the tunnel was opened.
    async fn still_good(&self) -> Result<(), RpcError> {
        let serial = self.identity.serial.to_string();
        if self.revocations.has(&self.services.store, &serial).await? {
            return Err(RpcError::AgentRevoked(self.identity.agent.clone()));
        }
        Ok(())
    }

    async fn watch_over(&self) -> Ended {
        let mut checks = interval(REVOCATION_CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = self.handle.ended() => return ended,
                () = self.services.stopped.cancelled() => {
                    self.handle.close(RpcError::Stopping.into());
                    return self.handle.ended().await;
                }
                _ = checks.tick() => match self.still_good().await {
                    Ok(()) => {}
                    Err(error @ RpcError::AgentRevoked(_)) => {
                        self.handle.close(error.into());
                        return self.handle.ended().await;
                    }
                    // A store that fails for a moment is no reason to send agents away.
                    Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "could not check an agent's certificate"),
                }
            }
        }
    }
}
