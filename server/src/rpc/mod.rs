//! The services on the port: what comes over the wire is checked here, once, and what goes wrong becomes a status here.
//!
//! Nothing is decided here: requests go to the conductor and to the store.

mod access;
mod auth;
mod control;
mod enrolment;
mod lacking;
mod limit;
mod methods;
mod revocations;
mod status;
mod trail;
mod tunnel;

use std::sync::Arc;

use stopover_proto::DESCRIPTOR_SET;
use stopover_proto::tunnel::MAX_MESSAGE;
use stopover_proto::v1::control_server::ControlServer;
use stopover_proto::v1::enrolment_server::EnrolmentServer;
use stopover_proto::v1::tunnel_server::TunnelServer;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::audit::Audit;
use crate::authority::Authority;
use crate::callback::{self, Desk};
use crate::conductor::{Clock, Conductor};
use crate::notify::Sender;
use crate::oidc::Oidc;
use crate::people::GroupRoles;
use crate::registry::Registry;
use crate::store::Store;
use auth::Authenticated;
use control::Api;
use enrolment::Enrolling;
use limit::{Limited, SMALL_REQUEST, WHOLE_MIGRATIONS};
use tunnel::Tunnels;

/// What the services work with. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub store: Store,
    pub authority: Arc<Authority>,
    pub registry: Registry,
    pub conductor: Conductor,
    pub audit: Arc<Audit>,
    /// What groups may do.
    pub roles: Arc<GroupRoles>,
    /// Who says who somebody is, beside the tokens made here.
    pub oidc: Option<Arc<Oidc>>,
    pub sender: Sender,
    pub clock: Clock,
    /// Fires when the server begins to stop: watchers are sent away.
    pub stopping: CancellationToken,
    /// Fires when no deployment is conducted any more: tunnels are closed.
    pub stopped: CancellationToken,
}

/// What `grpc.health.v1` says.
#[derive(Debug, Clone)]
pub struct Health(HealthReporter);

impl Health {
    pub async fn not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        for service in ["", "stopover.v1.Control", "stopover.v1.Enrolment", "stopover.v1.Tunnel"] {
            self.0.set_service_status(service, status).await;
        }
    }
}

/// All services of the port.
pub async fn routes(
    services: Services,
    reflection: bool,
) -> Result<(Routes, Health), tonic_reflection::server::Error> {
    let control = ControlServer::new(Api::new(services.clone())).max_decoding_message_size(WHOLE_MIGRATIONS);
    let control = Authenticated::new(Limited::new(control, WHOLE_MIGRATIONS), &services);
    let enrolment =
        EnrolmentServer::new(Enrolling::new(services.clone())).max_decoding_message_size(SMALL_REQUEST);
    let desk = Desk {
        store: services.store.clone(),
        conductor: services.conductor.clone(),
        sender: services.sender.clone(),
        clock: services.clock,
    };
    let hooks = callback::routes(desk);
    let tunnel = TunnelServer::new(Tunnels::new(services)).max_decoding_message_size(MAX_MESSAGE);
    let (reporter, health) = health_reporter();
    let status = Health(reporter);
    status.set(ServingStatus::Serving).await;
    let routes = Routes::new(control)
        .add_service(Limited::new(enrolment, SMALL_REQUEST))
        .add_service(tunnel)
        .add_service(health);
    let routes = Routes::from(routes.into_axum_router().merge(hooks));
    if !reflection {
        return Ok((routes, status));
    }
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Many clients in use know only the older form of the protocol.
    let (v1, older) = (described().build_v1()?, described().build_v1alpha()?);
    Ok((routes.add_service(v1).add_service(older), status))
}

#[cfg(test)]
mod tests;
