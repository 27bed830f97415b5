//! Reads the ledger.

use std::collections::BTreeMap;

use jiff::Timestamp;
use stopover_model::digest::Digest;
use stopover_model::id::{Epoch, MigrationId};
use stopover_model::plan::Variant;
use stopover_model::report::{LedgerEntry, LedgerState, StepError};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::{Author, Direction};
use crate::fingerprint::Changes;
use crate::postgres::{QueryError, Session};

/// A migration's row.
#[derive(Debug, Clone, PartialEq)]
pub struct MigrationRow {
    pub digest: Digest,
    pub state: MigrationState,
    pub variant: Variant,
    pub deployment: String,
    pub run: String,
    /// When it was applied, or begun.
    pub at: Timestamp,
    pub fingerprint_before: Option<Digest>,
    pub fingerprint_after: Option<Digest>,
    pub objects_before: Option<BTreeMap<String, String>>,
    pub changes: Option<Changes>,
    /// Why it counts as applied, where no deployment ran it.
    pub origin: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationState {
    /// Begun statement by statement.
    Running,
    Applied,
    /// Its rollback was begun statement by statement.
    Reverting,
}

/// A statement's row, of a script that runs statement by statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRow {
    pub index: u32,
    pub done: bool,
    /// Of the run that wrote it.
    pub epoch: Epoch,
    pub rows: u64,
    pub pid: i32,
    pub started_at: Timestamp,
    /// What was there before: the oids of the table's indexes.
    pub noted: Vec<String>,
    /// The SQLSTATE that it ended with; None when nothing is known of its end.
    pub failed: Option<String>,
}

/// What the last entry of the history says of a rollback.
#[derive(Debug, Clone, PartialEq)]
pub struct RolledBack {
    pub fingerprint_before: Option<Digest>,
    pub changes: Option<Changes>,
}

/// What the ledger says about these migrations. A database without a ledger has no entries; any session will do.
pub async fn entries(client: &Client, ids: &[MigrationId]) -> Result<Vec<LedgerEntry>, StepError> {
    read_entries(client, ids).await.map_err(|error| {
        let denied = error.sqlstate() == Some("42501");
        let mut error = error.into_step_error("read the ledger (the schema stopover)");
        if denied {
            error.hint = Some(
                "another database user made the ledger: connect as that user, or GRANT USAGE ON SCHEMA stopover and \
                 ALL ON ALL TABLES IN SCHEMA stopover to this one"
                    .to_owned(),
            );
        }
        error
    })
}

async fn read_entries(client: &Client, ids: &[MigrationId]) -> Result<Vec<LedgerEntry>, QueryError> {
    // A ledger that an earlier agent made is read as it is: only who writes upgrades it.
    let there = "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid \
                     AND a.attname = 'origin' AND NOT a.attisdropped) \
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = 'stopover' AND c.relname = 'migration' AND c.relkind = 'r'";
    let Some(found) = client.query_typed_opt(there, &[]).await? else { return Ok(Vec::new()) };
    let origin = if found.get::<_, bool>(0) { "origin" } else { "NULL::text" };
    let ids: Vec<&str> = ids.iter().map(MigrationId::as_str).collect();
    let sql = format!(
        "SELECT {COLUMNS}, {origin} AS origin, id FROM stopover.migration WHERE id = ANY ($1) ORDER BY started_at, id"
    );
    let rows = client.query_typed(&sql, &[(&ids, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<LedgerEntry, QueryError> {
    let id: String = row.get("id");
    let found = MigrationRow::read(row)?;
    Ok(LedgerEntry {
        migration: id.parse().map_err(|_| unreadable("the id of a migration"))?,
        digest: found.digest,
        state: match found.state {
            MigrationState::Applied => LedgerState::Applied,
            MigrationState::Running | MigrationState::Reverting => LedgerState::Running,
        },
        variant: found.variant,
        deployment: found.deployment.parse().map_err(|_| unreadable("a deployment's id"))?,
        at: found.at,
        origin: found.origin,
    })
}

pub(super) const COLUMNS: &str = "digest, state, variant, deployment, run, \
    (extract(epoch FROM coalesce(applied_at, started_at)) * 1000000)::bigint AS at, \
    fingerprint_before, fingerprint_after, objects_before, changes";

/// A migration's row; the ledger must be there.
pub async fn migration(session: &Session, id: &MigrationId) -> Result<Option<MigrationRow>, QueryError> {
    let sql = format!("SELECT {COLUMNS}, origin FROM stopover.migration WHERE id = $1");
    let rows = session.query(&sql, &[(&id.as_str(), Type::TEXT)]).await?;
    rows.first().map(MigrationRow::read).transpose()
}

/// The rows of a script's statements by their index.
pub async fn statements(
    session: &Session,
    id: &MigrationId,
    direction: Direction,
) -> Result<BTreeMap<u32, StatementRow>, QueryError> {
    let sql = "SELECT index, state, epoch, rows, pid, (extract(epoch FROM started_at) * 1000000)::bigint AS at, noted, failed \
               FROM stopover.statement WHERE migration = $1 AND direction = $2";
    let parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
        &[(&id.as_str(), Type::TEXT), (&direction.as_str(), Type::TEXT)];
    let rows = session.client().query_typed(sql, parameters).await.map_err(|e| session.error(e))?;
    let read = |row: &Row| -> Result<(u32, StatementRow), QueryError> {
        let index =
            u32::try_from(row.get::<_, i32>("index")).map_err(|_| unreadable("a statement's index"))?;
        let found = StatementRow {
            index,
            done: row.get::<_, &str>("state") == "done",
            epoch: Epoch(u64::try_from(row.get::<_, i64>("epoch")).unwrap_or_default()),
            rows: u64::try_from(row.get::<_, i64>("rows")).unwrap_or_default(),
            pid: row.get("pid"),
            started_at: timestamp(row.get("at"))?,
            noted: row.get("noted"),
            failed: row.get("failed"),
        };
        Ok((index, found))
    };
    rows.iter().map(read).collect()
}

/// The rollback of a migration that is not in the ledger, when this deployment did it last.
pub async fn rolled_back_by(
    session: &Session,
    id: &MigrationId,
    author: &Author,
) -> Result<Option<RolledBack>, QueryError> {
    let sql = "SELECT what, deployment, fingerprint_before, changes FROM stopover.history \
               WHERE migration = $1 ORDER BY id DESC LIMIT 1";
    let row = session.client().query_typed_opt(sql, &[(&id.as_str(), Type::TEXT)]).await;
    let Some(row) = row.map_err(|e| session.error(e))? else { return Ok(None) };
    if row.get::<_, &str>("what") != "rolled back"
        || row.get::<_, &str>("deployment") != author.deployment.as_str()
    {
        return Ok(None);
    }
    Ok(Some(RolledBack {
        fingerprint_before: digest(&row, "fingerprint_before")?,
        changes: json(&row, "changes")?,
    }))
}

impl MigrationRow {
    pub(super) fn read(row: &Row) -> Result<Self, QueryError> {
        Ok(Self {
            digest: digest(row, "digest")?.ok_or_else(|| unreadable("a digest"))?,
            state: match row.get("state") {
                "running" => MigrationState::Running,
                "applied" => MigrationState::Applied,
                "reverting" => MigrationState::Reverting,
                _ => return Err(unreadable("a migration's state")),
            },
            variant: match row.get("variant") {
                "standard" => Variant::Standard,
                "batched" => Variant::Batched,
                _ => return Err(unreadable("a migration's variant")),
            },
            deployment: row.get("deployment"),
            run: row.get("run"),
            at: timestamp(row.get("at"))?,
            fingerprint_before: digest(row, "fingerprint_before")?,
            fingerprint_after: digest(row, "fingerprint_after")?,
            objects_before: json(row, "objects_before")?,
            changes: json(row, "changes")?,
            origin: row.get("origin"),
        })
    }
}

fn digest(row: &Row, column: &str) -> Result<Option<Digest>, QueryError> {
    let text: Option<&str> = row.get(column);
    text.map(|text| text.parse().map_err(|_| unreadable("a digest"))).transpose()
}

pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> Result<Option<T>, QueryError> {
    let value: Option<serde_json::Value> = row.get(column);
    value.map(|value| serde_json::from_value(value).map_err(|_| unreadable("a list of objects"))).transpose()
}

pub(super) fn timestamp(microseconds: i64) -> Result<Timestamp, QueryError> {
    Timestamp::from_microsecond(microseconds).map_err(|_| unreadable("a time"))
}

fn unreadable(what: &str) -> QueryError {
    QueryError::Answer(format!("{what} in the ledger is none; was it edited by hand?"))
}
