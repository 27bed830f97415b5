//! Rows of lists.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use stopover_model::event::DeploymentOutcome;
use stopover_model::id::{
    AgentName, DatabaseName, DeploymentId, EnvironmentName, MigrationId, OperatorName, PipelineName,
};
use stopover_proto::convert::{InvalidWire, field};
use stopover_proto::v1;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeploymentRow {
    pub deployment: DeploymentId,
    pub pipeline: PipelineName,
    pub migrations: Vec<MigrationId>,
    pub by: OperatorName,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// None while it goes on.
    pub outcome: Option<DeploymentOutcome>,
    /// Where it is, for people.
    pub at: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EnvironmentRow {
    pub name: EnvironmentName,
    pub held_by: Option<DeploymentId>,
    pub databases: Vec<DatabaseRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseRow {
    pub name: DatabaseName,
    pub agent: AgentName,
    pub connected: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentRow {
    pub name: AgentName,
    pub environment: EnvironmentName,
    pub connected: bool,
    pub last_seen: Option<Timestamp>,
    pub version: Option<String>,
    pub databases: Vec<DatabaseName>,
    pub certificate_ends: Option<Timestamp>,
}

impl TryFrom<v1::DeploymentSummary> for DeploymentRow {
    type Error = InvalidWire;

    fn try_from(wire: v1::DeploymentSummary) -> Result<Self, InvalidWire> {
        Ok(Self {
            deployment: field::name::read(wire.deployment, "deployment")?,
            pipeline: field::name::read(wire.pipeline, "pipeline")?,
            migrations: field::names::read(wire.migrations, "migrations")?,
            by: field::name::read(wire.by, "by")?,
            created_at: field::timestamp::read(wire.created_at, "created_at")?,
            updated_at: field::timestamp::read(wire.updated_at, "updated_at")?,
            outcome: field::optional_enumeration::read(wire.outcome, "outcome")?,
            at: wire.at,
        })
    }
}

impl TryFrom<v1::Environment> for EnvironmentRow {
    type Error = InvalidWire;

    fn try_from(wire: v1::Environment) -> Result<Self, InvalidWire> {
        Ok(Self {
            name: field::name::read(wire.name, "name")?,
            held_by: field::optional_name::read(wire.held_by, "held_by")?,
            databases: field::messages::read(wire.databases, "databases")?,
        })
    }
}

impl TryFrom<v1::environment::Database> for DatabaseRow {
    type Error = InvalidWire;

    fn try_from(wire: v1::environment::Database) -> Result<Self, InvalidWire> {
        Ok(Self {
            name: field::name::read(wire.name, "name")?,
            agent: field::name::read(wire.agent, "agent")?,
            connected: wire.connected,
            labels: wire.labels.into_iter().collect(),
        })
    }
}

impl TryFrom<v1::AgentInfo> for AgentRow {
    type Error = InvalidWire;

    fn try_from(wire: v1::AgentInfo) -> Result<Self, InvalidWire> {
        let last_seen = wire.last_seen.map(|at| field::timestamp::read(Some(at), "last_seen")).transpose()?;
        let ends = wire.certificate_ends.map(|at| field::timestamp::read(Some(at), "certificate_ends"));
        Ok(Self {
            name: field::name::read(wire.name, "name")?,
            environment: field::name::read(wire.environment, "environment")?,
            connected: wire.connected,
            last_seen,
            version: field::optional_text::read(wire.version, "version")?,
            databases: field::names::read(wire.databases, "databases")?,
            certificate_ends: ends.transpose()?,
        })
    }
}
