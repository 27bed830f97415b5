//! The list of deployments.

use std::collections::BTreeMap;

use jiff::Timestamp;
use stopover_model::digest::Digest;
use stopover_model::event::{DeploymentOutcome, Event, Record};
use stopover_model::id::{DeploymentId, MigrationId, OperatorName, PipelineName, Seq};
use stopover_model::notice;
use uuid::Uuid;

use super::db::{Row, Tx, sql};
use super::error::{Cause, attempt};
use super::named::value_of;
use super::{Store, StoreError, bundles, events, notifications};

/// A deployment as it begins.
#[derive(Debug, Clone, Copy)]
pub struct NewDeployment<'a> {
    /// Its first: seq 1, [`Event::Created`].
    pub record: &'a Record,
    /// Of each of its migrations.
    pub bundles: &'a [Bundle<'a>],
    /// The caller's: a request sent twice makes one deployment.
    pub request_id: Uuid,
}

/// The files of a migration.
#[derive(Debug, Clone, Copy)]
pub struct Bundle<'a> {
    pub digest: Digest,
    pub files: &'a BTreeMap<String, Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    Created,
    /// The same request made this one earlier. Nothing was stored now.
    Existing(DeploymentId),
    /// Draw another.
    IdTaken,
}

/// A deployment in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentRow {
    pub id: DeploymentId,
    pub pipeline: PipelineName,
    pub migrations: Vec<MigrationId>,
    pub by: OperatorName,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// None while it goes on.
    pub outcome: Option<DeploymentOutcome>,
    /// Where it is, for people.
    pub at: String,
    /// Of its last event.
    pub seq: Seq,
}

/// What fits a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    None,
    One(DeploymentId),
    Many,
}

impl Store {
    pub async fn create_deployment(&self, new: NewDeployment<'_>) -> Result<Creation, StoreError> {
        let id = &new.record.deployment;
        self.create(new).await.map_err(attempt(format_args!("create deployment {id}")))
    }

    /// What an earlier request with this id made.
    pub async fn deployment_of_request(&self, request_id: Uuid) -> Result<Option<DeploymentId>, StoreError> {
        let query = sql("SELECT id FROM deployments WHERE request_id = $1").bind(request_id.to_string());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.first().map(|row| row.parsed("id")).transpose())
            .map_err(attempt(format_args!("find the deployment of request {request_id}")))
    }

    /// Of its last event; None where there is no such deployment.
    pub async fn last_seq(&self, id: &DeploymentId) -> Result<Option<Seq>, StoreError> {
        let query = sql("SELECT last_seq FROM deployments WHERE id = $1").bind(id.as_str());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.first().map(|row| Ok(Seq(row.count("last_seq")?))).transpose())
            .map_err(attempt(format_args!("find the last event of deployment {id}")))
    }

    /// Those without an outcome, the oldest first.
    pub async fn open_deployments(&self) -> Result<Vec<DeploymentId>, StoreError> {
        let query = sql("SELECT id FROM deployments WHERE outcome IS NULL ORDER BY created_at, id");
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(|row| row.parsed("id")).collect())
            .map_err(attempt("find the deployments that go on"))
    }

    /// The newest first.
    pub async fn list_deployments(&self, limit: u32) -> Result<Vec<DeploymentRow>, StoreError> {
        let query =
            sql("SELECT id, pipeline, migrations, created_by, created_at, updated_at, outcome, place, \
                         last_seq FROM deployments ORDER BY created_at DESC, id DESC LIMIT $1")
            .bind(limit);
        let rows = self.db.read(query).await;
        rows.and_then(|rows| rows.iter().map(deployment).collect()).map_err(attempt("list the deployments"))
    }

    /// Finds the one whose id begins so, in whatever case it was typed.
    pub async fn find_deployment(&self, prefix: &str) -> Result<Found, StoreError> {
        let prefix = prefix.to_ascii_lowercase();
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(Found::None);
        }
        let query = sql("SELECT id FROM deployments WHERE id LIKE $1 LIMIT 2").bind(format!("{prefix}%"));
        let rows = self.db.read(query).await;
        rows.and_then(|rows| {
            Ok(match rows.as_slice() {
                [] => Found::None,
                [row] => Found::One(row.parsed("id")?),
                _ => Found::Many,
            })
        })
        .map_err(attempt(format_args!("find deployment {prefix}")))
    }

    async fn create(&self, new: NewDeployment<'_>) -> Result<Creation, Cause> {
        let mut tx = self.db.begin().await?;
        if !insert(&mut tx, new).await? {
            let same =
                sql("SELECT id FROM deployments WHERE request_id = $1").bind(new.request_id.to_string());
            return Ok(match tx.first(same).await? {
                Some(row) => Creation::Existing(row.parsed("id")?),
                None => Creation::IdTaken,
            });
        }
        events::insert(&mut tx, new.record).await?;
        bundles::insert(&mut tx, new.bundles).await?;
        let news = notifications::change(&mut tx, &notice::of_creation(new.record)).await?;
        tx.commit().await?;
        if news {
            self.news.notify_one();
        }
        Ok(Creation::Created)
    }
}

/// Whether it is new.
async fn insert(tx: &mut Tx, new: NewDeployment<'_>) -> Result<bool, Cause> {
    let Record { deployment, seq, at, event } = new.record;
    let (Event::Created { pipeline, migrations, by, .. }, Seq(1)) = (event, *seq) else {
        return Err(Cause::row("a new deployment", "its first record is not seq 1, created"));
    };
    let migrations: Vec<_> = migrations.iter().map(|migration| &migration.id).collect();
    let migrations = serde_json::to_string(&migrations).map_err(|error| Cause::row("migrations", error))?;
    let query =
        sql("INSERT INTO deployments (id, request_id, pipeline, migrations, created_by, created_at, \
                     updated_at, outcome, place, last_seq) VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, $8, $9) \
                     ON CONFLICT DO NOTHING")
        .bind(deployment.as_str())
        .bind(new.request_id.to_string())
        .bind(pipeline.name.as_str())
        .bind(migrations)
        .bind(by.as_str())
        .bind(*at)
        .bind(*at)
        .bind("created")
        .bind(*seq);
    Ok(tx.execute(query).await? == 1)
}

fn deployment(row: &Row) -> Result<DeploymentRow, Cause> {
    Ok(DeploymentRow {
        id: row.parsed("id")?,
        pipeline: row.parsed("pipeline")?,
        migrations: row.json("migrations")?,
        by: row.parsed("created_by")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        outcome: row.optional_text("outcome")?.map(|text| value_of("outcome", &text)).transpose()?,
        at: row.text("place")?,
        seq: Seq(row.count("last_seq")?),
    })
}
