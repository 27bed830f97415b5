//! Environments, and the agents that join them.

use std::collections::BTreeMap;

use std::collections::BTreeSet;

use jiff::SignedDuration;
use stopover_model::id::{AgentName, EnvironmentName};
use stopover_proto::convert::field::{name, optional_name, timestamp};
use stopover_proto::token::JoinToken;
use stopover_proto::v1;
use stopover_proto::v1::environment::Database;

use super::Api;
use crate::rpc::auth::Operator;
use crate::rpc::status::RpcError;
use crate::store::AgentRow;

const JOIN_TOKEN_LIFE: SignedDuration = SignedDuration::from_hours(1);

impl Api {
    pub(super) async fn make_environment(
        &self,
        request: v1::CreateEnvironmentRequest,
    ) -> Result<v1::CreateEnvironmentResponse, RpcError> {
        let environment: EnvironmentName = request.name.parse().map_err(RpcError::id("name"))?;
        if !self.services.store.create_environment(&environment, (self.services.clock)()).await? {
            return Err(RpcError::EnvironmentExists(environment));
        }
        // A deployment may be waiting for it.
        self.services.registry.touch_in(&environment);
        Ok(v1::CreateEnvironmentResponse {})
    }

    /// Those that the caller may see.
    pub(super) async fn environments(&self, by: &Operator) -> Result<v1::ListEnvironmentsResponse, RpcError> {
        let store = &self.services.store;
        let (mut holds, mut served) = (store.holds().await?, store.environment_databases().await?);
        let mut environments = Vec::new();
        for environment in store.environments().await?.into_iter().filter(|environment| by.sees(environment))
        {
            let mut labels = store.database_labels(&environment).await?;
            let databases = served.remove(&environment).unwrap_or_default();
            let databases = databases.into_iter().map(|(database, agent)| {
                let reached = self.services.registry.reached(&environment, &database);
                Database {
                    connected: reached.is_some(),
                    // Who serves it now, else who served it last.
                    agent: name::write(reached.map_or(agent, |(agent, _)| agent)),
                    labels: labels
                        .remove(&database)
                        .map(BTreeMap::from)
                        .unwrap_or_default()
                        .into_iter()
                        .collect(),
                    name: name::write(database),
                }
            });
            environments.push(v1::Environment {
                databases: databases.collect(),
                held_by: optional_name::write(holds.remove(&environment)),
                name: name::write(environment),
            });
        }
        Ok(v1::ListEnvironmentsResponse { environments })
    }

    pub(super) async fn make_join_token(
        &self,
        request: v1::CreateJoinTokenRequest,
    ) -> Result<v1::CreateJoinTokenResponse, RpcError> {
        let environment: EnvironmentName =
            request.environment.parse().map_err(RpcError::id("environment"))?;
        let token = JoinToken::new(rand::random(), self.services.authority.fingerprint());
        let expires_at = (self.services.clock)() + JOIN_TOKEN_LIFE;
        if !self.services.store.create_join_token(&token.hash(), &environment, expires_at).await? {
            return Err(RpcError::NoEnvironment(environment));
        }
        tracing::info!(%environment, "made a join token");
        Ok(v1::CreateJoinTokenResponse { token: token.expose(), expires_at: timestamp::write(expires_at) })
    }

    /// Those in environments that the caller may see.
    pub(super) async fn agents(&self, by: &Operator) -> Result<v1::ListAgentsResponse, RpcError> {
        let connected: BTreeSet<AgentName> =
            self.services.registry.agents().into_iter().map(|link| link.agent).collect();
        let agents = self.services.store.agents().await?;
        let agents = agents.into_iter().filter(|row| by.sees(&row.environment));
        let agents = agents.map(|row| info(connected.contains(&row.name), row));
        Ok(v1::ListAgentsResponse { agents: agents.collect() })
    }
}

fn info(connected: bool, row: AgentRow) -> v1::AgentInfo {
    v1::AgentInfo {
        name: name::write(row.name),
        environment: name::write(row.environment),
        connected,
        last_seen: row.last_seen.and_then(timestamp::write),
        version: row.version,
        databases: row.databases.into_iter().map(name::write).collect(),
        certificate_ends: row.certificate_ends.and_then(timestamp::write),
    }
}
