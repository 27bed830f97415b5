//! The pipelines, each as the text that a person wrote.

use jiff::Timestamp;
use stopover_model::id::PipelineName;

use super::db::sql;
use super::error::{Cause, attempt};
use super::{Store, StoreError};

/// What became of a pipeline that was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutPipeline {
    /// From 1.
    pub revision: u64,
    /// False: the text was there already.
    pub changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRow {
    pub toml: String,
    pub revision: u64,
}

impl Store {
    pub async fn put_pipeline(
        &self,
        name: &PipelineName,
        toml: &str,
        at: Timestamp,
    ) -> Result<PutPipeline, StoreError> {
        self.put(name, toml, at).await.map_err(attempt(format_args!("store pipeline {name}")))
    }

    pub async fn pipeline(&self, name: &PipelineName) -> Result<Option<PipelineRow>, StoreError> {
        let query = sql("SELECT toml, revision FROM pipelines WHERE name = $1").bind(name.as_str());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| {
            let Some(row) = rows.first() else { return Ok(None) };
            Ok(Some(PipelineRow { toml: row.text("toml")?, revision: row.count("revision")? }))
        })
        .map_err(attempt(format_args!("read pipeline {name}")))
    }

    /// By name.
    pub async fn pipeline_names(&self) -> Result<Vec<PipelineName>, StoreError> {
        let rows = self.db.read(sql("SELECT name FROM pipelines")).await;
        let mut names: Vec<PipelineName> = rows
            .and_then(|rows| rows.iter().map(|row| row.parsed("name")).collect())
            .map_err(attempt("list the pipelines"))?;
        names.sort();
        Ok(names)
    }

    async fn put(&self, name: &PipelineName, toml: &str, at: Timestamp) -> Result<PutPipeline, Cause> {
        let mut tx = self.db.begin().await?;
        let put = sql("INSERT INTO pipelines (name, toml, revision, updated_at) VALUES ($1, $2, 1, $3) \
                       ON CONFLICT (name) DO UPDATE SET toml = excluded.toml, revision = pipelines.revision + 1, \
                       updated_at = excluded.updated_at WHERE pipelines.toml <> excluded.toml RETURNING revision")
        .bind(name.as_str())
        .bind(toml)
        .bind(at);
        let changed = tx.first(put).await?;
        let revision = if let Some(row) = &changed {
            row.count("revision")?
        } else {
            let same = sql("SELECT revision FROM pipelines WHERE name = $1").bind(name.as_str());
            let row = tx.first(same).await?;
            row.ok_or_else(|| Cause::row("a pipeline", "it has gone"))?.count("revision")?
        };
        tx.commit().await?;
        Ok(PutPipeline { revision, changed: changed.is_some() })
    }
}
