//! Pipelines: stored as people wrote them.

use stopover_lint::read_pipeline;
use stopover_model::id::{EnvironmentName, PipelineName};
use stopover_model::pipeline::Pipeline;
use stopover_proto::v1;

use super::Api;
use crate::rpc::auth::Operator;
use crate::rpc::lacking::Where;
use crate::rpc::status::RpcError;

/// A stored pipeline, read again.
pub(super) struct Stored {
    pub(super) pipeline: Pipeline,
    toml: String,
    revision: u64,
}

impl Api {
    pub(super) async fn store_pipeline(
        &self,
        by: &Operator,
        request: v1::ApplyPipelineRequest,
    ) -> Result<v1::ApplyPipelineResponse, RpcError> {
        let file = if request.file.is_empty() { "pipeline.toml" } else { &request.file };
        let pipeline = read_pipeline(file, &request.toml)?;
        // Whoever changes a pipeline says what has to be true in its environments, in those that it leaves as well.
        let mut environments = pipeline.environments();
        if let Some(row) = self.services.store.pipeline(&pipeline.name).await? {
            let before = read_pipeline(&format!("pipeline {}", pipeline.name), &row.toml);
            environments.extend(before.map(|before| before.environments()).unwrap_or_default());
        }
        self.may(by, &Where::each(&environments)).await?;
        self.check_notify(&pipeline)?;
        let now = (self.services.clock)();
        pipeline.check_windows(file, &request.toml, now)?;
        let put = self.services.store.put_pipeline(&pipeline.name, &request.toml, now).await?;
        Ok(v1::ApplyPipelineResponse {
            pipeline: Some(pipeline.into()),
            revision: put.revision,
            changed: put.changed,
        })
    }

    pub(super) async fn show_pipeline(&self, given: &str) -> Result<v1::GetPipelineResponse, RpcError> {
        let Stored { pipeline, toml, revision } = self.pipeline_named(given).await?;
        Ok(v1::GetPipelineResponse { pipeline: Some(pipeline.into()), revision, toml })
    }

    /// The stored pipeline of that name; the only one, where no name is given.
    pub(super) async fn pipeline_named(&self, given: &str) -> Result<Stored, RpcError> {
        let store = &self.services.store;
        let name: PipelineName = if given.is_empty() {
            only(store.pipeline_names().await?)?
        } else {
            given.parse().map_err(RpcError::id("pipeline"))?
        };
        let Some(row) = store.pipeline(&name).await? else {
            let names = store.pipeline_names().await?;
            return Err(if names.is_empty() {
                RpcError::NoPipelines
            } else {
                RpcError::NoPipeline(name, listed(&names))
            });
        };
        let pipeline = read_pipeline(&format!("pipeline {name}"), &row.toml)?;
        Ok(Stored { pipeline, toml: row.toml, revision: row.revision })
    }

    /// The pipeline of that name, or the only one with a stage in the environment; None where several have one, or none.
    pub(super) async fn pipeline_through(
        &self,
        environment: &EnvironmentName,
        given: &str,
    ) -> Result<Option<Pipeline>, RpcError> {
        let has_stage = |pipeline: &Pipeline| pipeline.stage_in(environment).is_some();
        if !given.is_empty() {
            let pipeline = self.pipeline_named(given).await?.pipeline;
            if !has_stage(&pipeline) {
                return Err(RpcError::NoStageIn(pipeline.name, environment.clone()));
            }
            return Ok(Some(pipeline));
        }
        let mut found = None;
        for name in self.services.store.pipeline_names().await? {
            let pipeline = self.pipeline_named(name.as_str()).await?.pipeline;
            if has_stage(&pipeline) && found.replace(pipeline).is_some() {
                return Ok(None);
            }
        }
        Ok(found)
    }
}

fn only(mut names: Vec<PipelineName>) -> Result<PipelineName, RpcError> {
    match (names.pop(), names.is_empty()) {
        (Some(name), true) => Ok(name),
        (None, _) => Err(RpcError::NoPipelines),
        (Some(last), false) => {
            names.push(last);
            Err(RpcError::SeveralPipelines(listed(&names)))
        }
    }
}

fn listed(names: &[PipelineName]) -> String {
    names.iter().map(PipelineName::as_str).collect::<Vec<_>>().join(", ")
}
