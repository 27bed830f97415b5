//! The agents: how they join, the certificates that they got, the databases that they serve.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use stopover_model::id::{AgentName, DatabaseName, EnvironmentName};
use stopover_model::wave::Labels;
use stopover_proto::token::TokenHash;

use super::db::{Row, Tx, sql};
use super::error::{Cause, attempt};
use super::{Store, StoreError};

/// An agent that has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRow {
    pub name: AgentName,
    pub environment: EnvironmentName,
    pub joined_at: Timestamp,
    /// When its tunnel last opened or ended.
    pub last_seen: Option<Timestamp>,
    /// May be empty.
    pub version: String,
    pub databases: BTreeSet<DatabaseName>,
    /// Of the certificate that ends last and is not revoked.
    pub certificate_ends: Option<Timestamp>,
}

/// A certificate that was given to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRow {
    pub agent: AgentName,
    pub ends: Timestamp,
    pub revoked: bool,
}

/// What became of a join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// The agent belongs to this environment from now on; certificates of an earlier agent of that name are revoked.
    Environment(EnvironmentName),
    /// Unknown, used or expired.
    Refused,
    /// An agent of another environment has the name. The token is not used up.
    NameTaken,
}

impl Store {
    /// Takes a join token for an environment; false: there is no such environment.
    pub async fn create_join_token(
        &self,
        hash: &TokenHash,
        environment: &EnvironmentName,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let query = sql("INSERT INTO join_tokens (hash, environment, expires_at) \
                         SELECT $1, name, $2 FROM environments WHERE name = $3 RETURNING hash")
        .bind(hash.to_string())
        .bind(expires_at)
        .bind(environment.as_str());
        let rows = self.db.write(query).await;
        let rows = rows.map_err(attempt(format_args!("store a join token of environment {environment}")))?;
        Ok(!rows.is_empty())
    }

    /// Uses a join token up and registers the agent, both or neither. Of several that come with one token, one wins.
    pub async fn redeem_join_token(
        &self,
        hash: &TokenHash,
        agent: &AgentName,
        now: Timestamp,
    ) -> Result<Redeemed, StoreError> {
        let redeemed = self.redeem(hash, agent, now).await;
        redeemed.map_err(attempt(format_args!("redeem the join token of agent {agent}")))
    }

    /// To be called before the agent gets its certificate: one that is not recorded opens nothing.
    pub async fn record_certificate(
        &self,
        agent: &AgentName,
        serial: &str,
        ends: Timestamp,
    ) -> Result<(), StoreError> {
        let query = sql("INSERT INTO certificates (serial, agent, ends_at) VALUES ($1, $2, $3)")
            .bind(serial)
            .bind(agent.as_str())
            .bind(ends);
        self.db.write(query).await.map_err(attempt(format_args!("record a certificate of agent {agent}")))?;
        Ok(())
    }

    pub async fn certificate(&self, serial: &str) -> Result<Option<CertificateRow>, StoreError> {
        let query = sql("SELECT agent, ends_at, revoked_at FROM certificates WHERE serial = $1").bind(serial);
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.first().map(certificate).transpose())
            .map_err(attempt(format_args!("look up certificate {serial}")))
    }

    pub async fn agent(&self, name: &AgentName) -> Result<Option<AgentRow>, StoreError> {
        Ok(self.agents().await?.into_iter().find(|agent| agent.name == *name))
    }

    /// By name.
    pub async fn agents(&self) -> Result<Vec<AgentRow>, StoreError> {
        self.all_agents().await.map_err(attempt("list the agents"))
    }

    /// What the agent says that it serves, instead of what it said before.
    pub async fn set_agent_databases(
        &self,
        agent: &AgentName,
        databases: &BTreeMap<DatabaseName, Labels>,
        version: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let set = self.set_databases(agent, databases, version, at).await;
        set.map_err(attempt(format_args!("store the databases of agent {agent}")))
    }

    /// Its tunnel opened or ended.
    pub async fn touch_agent(&self, agent: &AgentName, at: Timestamp) -> Result<(), StoreError> {
        let query = sql("UPDATE agents SET last_seen = $1 WHERE name = $2").bind(at).bind(agent.as_str());
        self.db.write(query).await.map_err(attempt(format_args!("store when agent {agent} was seen")))?;
        Ok(())
    }

    /// Who serves which database: the agent that announced it last. Environments without any are left out.
    pub async fn environment_databases(
        &self,
    ) -> Result<BTreeMap<EnvironmentName, BTreeMap<DatabaseName, AgentName>>, StoreError> {
        let query = sql("SELECT agents.environment, agent_databases.database_name, agents.name \
                         FROM agent_databases JOIN agents ON agents.name = agent_databases.agent \
                         ORDER BY agent_databases.announced_at, agents.name");
        let rows = self.db.read(query).await;
        rows.and_then(|rows| {
            let mut environments = BTreeMap::<_, BTreeMap<_, _>>::new();
            for row in rows {
                let databases = environments.entry(row.parsed("environment")?).or_default();
                databases.insert(row.parsed("database_name")?, row.parsed("name")?);
            }
            Ok(environments)
        })
        .map_err(attempt("find who serves which database"))
    }

    /// The labels of an environment's databases, of those that have some, as they were announced last.
    pub async fn database_labels(
        &self,
        environment: &EnvironmentName,
    ) -> Result<BTreeMap<DatabaseName, Labels>, StoreError> {
        let all = self.databases_in(environment).await?.into_iter();
        Ok(all
            .filter(|(_, (_, labels))| !labels.is_empty())
            .map(|(name, (_, labels))| (name, labels))
            .collect())
    }

    /// An environment's databases, each with the agent that announced it last and its labels.
    pub async fn databases_in(
        &self,
        environment: &EnvironmentName,
    ) -> Result<BTreeMap<DatabaseName, (AgentName, Labels)>, StoreError> {
        let query = sql("SELECT agent_databases.database_name, agents.name, agent_databases.labels \
                         FROM agent_databases JOIN agents ON agents.name = agent_databases.agent \
                         WHERE agents.environment = $1 ORDER BY agent_databases.announced_at, agents.name")
        .bind(environment.as_str());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| {
            let database =
                |row: &Row| Ok((row.parsed("database_name")?, (row.parsed("name")?, labels(row)?)));
            rows.iter().map(database).collect()
        })
        .map_err(attempt(format_args!("find who serves which database of {environment}")))
    }

    /// The serials of the certificates that were taken back.
    pub async fn revoked_certificates(&self) -> Result<HashSet<String>, StoreError> {
        let query = sql("SELECT serial FROM certificates WHERE revoked_at IS NOT NULL");
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(|row| row.text("serial")).collect())
            .map_err(attempt("list the certificates that were taken back"))
    }

    async fn redeem(&self, hash: &TokenHash, agent: &AgentName, now: Timestamp) -> Result<Redeemed, Cause> {
        let mut tx = self.db.begin().await?;
        let token = sql("UPDATE join_tokens SET used_at = $1, used_by = $2 \
                         WHERE hash = $3 AND used_at IS NULL AND expires_at > $4 RETURNING environment")
        .bind(now)
        .bind(agent.as_str())
        .bind(hash.to_string())
        .bind(now);
        let Some(row) = tx.first(token).await? else { return Ok(Redeemed::Refused) };
        let environment = row.parsed("environment")?;
        if !register(&mut tx, agent, &environment, now).await? {
            return Ok(Redeemed::NameTaken);
        }
        tx.commit().await?;
        Ok(Redeemed::Environment(environment))
    }

    async fn set_databases(
        &self,
        agent: &AgentName,
        databases: &BTreeMap<DatabaseName, Labels>,
        version: &str,
        at: Timestamp,
    ) -> Result<(), Cause> {
        let mut tx = self.db.begin().await?;
        let seen = sql("UPDATE agents SET version = $1, last_seen = $2 WHERE name = $3")
            .bind(version)
            .bind(at)
            .bind(agent.as_str());
        tx.execute(seen).await?;
        tx.execute(sql("DELETE FROM agent_databases WHERE agent = $1").bind(agent.as_str())).await?;
        for (database, labels) in databases {
            let serves = sql(
                "INSERT INTO agent_databases (agent, database_name, announced_at, labels) VALUES ($1, $2, $3, $4)",
            )
            .bind(agent.as_str())
            .bind(database.as_str())
            .bind(at)
            .bind(serde_json::to_string(labels).unwrap_or_else(|_| "{}".to_owned()));
            tx.execute(serves).await?;
        }
        tx.commit().await
    }

    async fn all_agents(&self) -> Result<Vec<AgentRow>, Cause> {
        let query = sql("SELECT name, environment, joined_at, last_seen, version, \
                         (SELECT max(ends_at) FROM certificates WHERE agent = agents.name AND revoked_at IS NULL) \
                         AS ends_at FROM agents");
        let rows = self.db.read(query).await?;
        let mut agents = rows.iter().map(agent).collect::<Result<Vec<_>, _>>()?;
        let serves = self.db.read(sql("SELECT agent, database_name FROM agent_databases")).await?;
        for row in serves {
            let (name, database) = (row.parsed::<AgentName>("agent")?, row.parsed("database_name")?);
            if let Some(agent) = agents.iter_mut().find(|agent| agent.name == name) {
                agent.databases.insert(database);
            }
        }
        agents.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(agents)
    }
}

/// False: another environment has an agent of that name.
async fn register(
    tx: &mut Tx,
    agent: &AgentName,
    environment: &EnvironmentName,
    now: Timestamp,
) -> Result<bool, Cause> {
    let join = sql("INSERT INTO agents (name, environment, joined_at) VALUES ($1, $2, $3) \
                    ON CONFLICT (name) DO UPDATE SET joined_at = excluded.joined_at \
                    WHERE agents.environment = excluded.environment")
    .bind(agent.as_str())
    .bind(environment.as_str())
    .bind(now);
    if tx.execute(join).await? == 0 {
        return Ok(false);
    }
    let replaced = sql("UPDATE certificates SET revoked_at = $1 WHERE agent = $2 AND revoked_at IS NULL")
        .bind(now)
        .bind(agent.as_str());
    tx.execute(replaced).await?;
    Ok(true)
}

fn agent(row: &Row) -> Result<AgentRow, Cause> {
    Ok(AgentRow {
        name: row.parsed("name")?,
        environment: row.parsed("environment")?,
        joined_at: row.time("joined_at")?,
        last_seen: row.optional_time("last_seen")?,
        version: row.text("version")?,
        databases: BTreeSet::new(),
        certificate_ends: row.optional_time("ends_at")?,
    })
}

fn labels(row: &Row) -> Result<Labels, Cause> {
    serde_json::from_str(&row.text("labels")?).map_err(|error| Cause::row("labels", error))
}

fn certificate(row: &Row) -> Result<CertificateRow, Cause> {
    Ok(CertificateRow {
        agent: row.parsed("agent")?,
        ends: row.time("ends_at")?,
        revoked: row.optional_time("revoked_at")?.is_some(),
    })
}
