//! `stopover rehearse`: tries migrations on a restored copy of an environment's databases, and applies nothing.

use stopover_proto::v1;

use super::Context;
use super::deploy::{until_taken, watch};
use super::plan::{bundles, pipeline_name};
use crate::args::RehearseArgs;
use crate::directory;
use crate::failure::{Exit, Failure};
use crate::render::line::Line;

pub(crate) async fn run(context: &Context, args: &RehearseArgs) -> Result<Exit, Failure> {
    let found = directory::read_all(&args.migrations.directories, args.migrations.layout)?;
    if !context.output.json {
        found.notes.iter().for_each(|note| context.output.note(&Line::new().dim(note)));
    }
    let mut control = context.control().await?;
    let request = v1::RehearseEnvironmentRequest {
        environment: args.environment.to_string(),
        databases: args.database.iter().map(ToString::to_string).collect(),
        migrations: bundles(&found.migrations),
        pipeline: pipeline_name(&args.migrations),
        allow_cluster_effects: args.allow_cluster_effects,
        request_id: uuid::Uuid::new_v4().to_string(),
    };
    let made = until_taken(async || control.rehearse(request.clone()).await).await?;
    watch(context, control, made, args.detach).await
}
