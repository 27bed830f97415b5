//! Deployments made and followed without a command line in between.

use std::time::{Duration, Instant};

use stopover_proto::v1::{
    ApplyPipelineRequest, DeployRequest, ListDeploymentsRequest, MigrationBundle, migration_bundle,
};
use stopover_tests::Stack;
use stopover_tests::control::Control;

pub(crate) async fn pipeline(control: &mut Control, name: &str, environment: &str, keys: &str) {
    let toml =
        format!("name = \"{name}\"\n[[stage]]\nenvironment = \"{environment}\"\nsample = false\n{keys}\n");
    let request = ApplyPipelineRequest { toml, file: "pipeline.toml".into() };
    control.apply_pipeline(request).await.expect("the pipeline is stored");
}

/// Deploys a trivial migration; gives the deployment's id.
pub(crate) async fn deploy(control: &mut Control, pipeline: &str, migration: &str, number: usize) -> String {
    let up = format!("CREATE TABLE t_{migration} (id int);");
    let file = migration_bundle::File { name: "up.sql".into(), content: up.into_bytes() };
    let bundle = MigrationBundle { id: format!("001_{migration}"), files: vec![file], series: 0 };
    let request = DeployRequest {
        pipeline: pipeline.to_owned(),
        migrations: vec![bundle],
        request_id: format!("{number:08x}-0000-4000-8000-{:012x}", std::process::id()),
        ..DeployRequest::default()
    };
    control.deploy(request).await.expect("a deployment").into_inner().deployment
}

/// Of the newest deployments, how many have ended.
pub(crate) async fn ended(control: &mut Control, newest: u32) -> usize {
    let request = ListDeploymentsRequest { limit: newest };
    let listed = control.list_deployments(request).await.expect("a list").into_inner();
    listed.deployments.iter().filter(|deployment| deployment.outcome != 0).count()
}

/// How long a command takes, its process and all: the median of five.
pub(crate) async fn timed(stack: &Stack, args: &[&str]) -> Duration {
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        stack.cli.ok(args).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times[2]
}
