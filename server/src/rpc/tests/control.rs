use stopover_proto::v1::watch_update::Kind;
use stopover_proto::v1::{
    ApplyPipelineRequest, CancelDeploymentRequest, DeployRequest, DeployResponse, DeploymentOutcome,
    GetDeploymentRequest, GetPipelineRequest, ListDeploymentsRequest, PlanRequest, ResolveDeploymentRequest,
    RollbackDeploymentRequest, WatchRequest,
};
use tonic::Code;
use uuid::Uuid;

use super::*;

impl Bench {
    async fn apply(&self, toml: &str) -> Result<v1::ApplyPipelineResponse, Status> {
        let request = ApplyPipelineRequest { toml: toml.into(), file: "users.toml".into() };
        Ok(self.operator().apply_pipeline(request).await?.into_inner())
    }

    async fn deploy(&self, request_id: Uuid, up: &str) -> Result<DeployResponse, Status> {
        let request = DeployRequest {
            migrations: vec![bundle("001_x", &[("up.sql", up)])],
            request_id: request_id.to_string(),
            ..DeployRequest::default()
        };
        Ok(self.operator().deploy(request).await?.into_inner())
    }
}

/// A deployment that waits, since nothing is there for it.
async fn waiting() -> (Bench, String) {
    let bench = Bench::start().await;
    bench.apply(PIPELINE).await.unwrap();
    let made = bench.deploy(Uuid::new_v4(), "SELECT 1").await.unwrap();
    (bench, made.deployment)
}

#[tokio::test]
async fn a_pipeline_is_stored_as_it_was_written() {
    let bench = Bench::start().await;
    let none = bench.operator().get_pipeline(GetPipelineRequest::default()).await.unwrap_err();
    assert_eq!((none.code(), name_of(&none)), (Code::NotFound, "no_pipeline"));

    let text = format!("# ours\n{PIPELINE}");
    let first = bench.apply(&text).await.unwrap();
    assert_eq!((first.revision, first.changed), (1, true));
    let again = bench.apply(&text).await.unwrap();
    assert_eq!((again.revision, again.changed), (1, false));
    let shown = bench.operator().get_pipeline(GetPipelineRequest::default()).await.unwrap().into_inner();
    assert_eq!((shown.toml, shown.revision), (text.clone(), 1));

    let bad = bench.apply("name = \"x\"\n[[stage]]\nenvironment = \"s\"\nsaok = \"1h\"\n").await.unwrap_err();
    assert_eq!((bad.code(), name_of(&bad)), (Code::InvalidArgument, "bad_pipeline"));
    assert!(bad.message().starts_with("users.toml:4:1: unknown field `saok`"), "{bad}");

    let typo =
        bench.apply(&format!("{PIPELINE}[stage.lint]\nrefuse = \"ban-drop-tabel\"\n")).await.unwrap_err();
    assert_eq!((typo.code(), name_of(&typo)), (Code::InvalidArgument, "bad_pipeline"));
    assert!(
        typo.message().starts_with("users.toml:7:10: no rule is called `ban-drop-tabel`\nhint: did you"),
        "{typo}"
    );

    bench.apply(&text.replace("users-db", "orders-db")).await.unwrap();
    let several = bench.operator().get_pipeline(GetPipelineRequest::default()).await.unwrap_err();
    assert!(several.message().contains("orders-db, users-db"), "{several}");
    let other = GetPipelineRequest { name: "none".into() };
    let other = bench.operator().get_pipeline(other).await.unwrap_err();
    assert_eq!(other.message(), "there is no pipeline `none`; there is orders-db, users-db");
}

#[tokio::test]
async fn what_is_wrong_with_a_migration_reaches_the_person_unchanged() {
    let bench = Bench::start().await;
    bench.apply(PIPELINE).await.unwrap();
    let psql = bench.deploy(Uuid::new_v4(), "SELECT 1;\n\\copy x from y\n").await.unwrap_err();
    assert_eq!((psql.code(), name_of(&psql)), (Code::InvalidArgument, "bad_migration"));
    assert!(psql.message().starts_with("001_x/up.sql: line 2"), "{psql}");

    for (request, name, text) in [
        (DeployRequest { request_id: "1".into(), ..DeployRequest::default() }, "bad_field", "`request_id`"),
        (
            DeployRequest { request_id: Uuid::nil().into(), ..DeployRequest::default() },
            "no_migration",
            "no migration was given",
        ),
        (
            DeployRequest {
                request_id: Uuid::nil().into(),
                migrations: vec![bundle("001_x", &[("up.sql", "SELECT 1")]); 2],
                ..DeployRequest::default()
            },
            "migration_twice",
            "001_x is given twice",
        ),
        (
            DeployRequest {
                request_id: Uuid::nil().into(),
                migrations: vec![bundle("../x", &[("up.sql", "SELECT 1")])],
                ..DeployRequest::default()
            },
            "bad_field",
            "`migrations[0].id`: `../x` is not a migration's name",
        ),
    ] {
        let refused = bench.operator().deploy(request).await.unwrap_err();
        assert_eq!((refused.code(), name_of(&refused)), (Code::InvalidArgument, name), "{refused}");
        assert!(refused.message().contains(text), "{refused}");
    }
    let list = bench.operator().list_deployments(ListDeploymentsRequest { limit: 0 }).await.unwrap();
    assert!(list.into_inner().deployments.is_empty(), "nothing was changed");
}

#[tokio::test]
async fn the_same_request_makes_one_deployment_and_another_plan_none() {
    let bench = Bench::start().await;
    bench.apply(PIPELINE).await.unwrap();
    let request_id = Uuid::new_v4();
    let first = bench.deploy(request_id, "SELECT 1").await.unwrap();
    let second = bench.deploy(request_id, "SELECT 1").await.unwrap();
    assert_eq!(first, second);

    let request =
        PlanRequest { migrations: vec![bundle("001_x", &[("up.sql", "SELECT 1")])], ..Default::default() };
    let plan = bench.operator().plan(request).await.unwrap().into_inner();
    assert_eq!(plan.digest, first.digest);
    assert!(plan.stages[0].unavailable.contains("stopover environment create staging"), "{plan:?}");

    let other = DeployRequest {
        migrations: vec![bundle("001_x", &[("up.sql", "SELECT 2")])],
        request_id: Uuid::new_v4().into(),
        expected_digest: plan.digest,
        ..DeployRequest::default()
    };
    let refused = bench.operator().deploy(other).await.unwrap_err();
    assert_eq!((refused.code(), name_of(&refused)), (Code::FailedPrecondition, "other_digest"));

    let list = bench.operator().list_deployments(ListDeploymentsRequest { limit: 0 }).await.unwrap();
    let [only] = list.into_inner().deployments.try_into().unwrap();
    assert_eq!((only.by.as_str(), only.migrations), ("anna", vec!["001_x".to_owned()]));
}

#[tokio::test]
async fn a_watch_shows_the_log_without_a_gap_and_ends_with_the_deployment() {
    let (bench, deployment) = waiting().await;
    let watch = WatchRequest { deployment: deployment[..6].into(), after_seq: 0 };
    let mut updates = bench.operator().watch(watch).await.unwrap().into_inner();
    let (mut seqs, mut outcome, mut caught_up) = (Vec::new(), None, false);
    while let Some(update) = soon("an update", updates.message()).await.unwrap() {
        match update.kind.unwrap() {
            Kind::Record(record) => {
                seqs.push(record.seq);
                if let Some(v1::event::Kind::Finished(finished)) = record.event.unwrap().kind {
                    outcome = Some(finished.outcome());
                }
            }
            Kind::CaughtUp(_) => {
                caught_up = true;
                let cancel = CancelDeploymentRequest { deployment: deployment.clone() };
                bench.operator().cancel_deployment(cancel).await.unwrap();
            }
            Kind::Progress(_) => {}
        }
    }
    assert!(caught_up);
    assert_eq!(outcome, Some(DeploymentOutcome::Cancelled));
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let log = bench.operator().get_deployment(GetDeploymentRequest { deployment }).await.unwrap();
    assert_eq!(log.into_inner().records.len(), seqs.len());
}

#[tokio::test]
async fn a_server_that_stops_ends_a_watch_with_a_status() {
    let (bench, deployment) = waiting().await;
    let watch = WatchRequest { deployment, after_seq: 0 };
    let mut updates = bench.operator().watch(watch).await.unwrap().into_inner();
    bench.services.stopping.cancel();
    let ended = async {
        loop {
            match updates.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended as if the deployment had"),
                Err(status) => return status,
            }
        }
    };
    let status = soon("the end", ended).await;
    assert_eq!((status.code(), name_of(&status)), (Code::Unavailable, "stopping"));
}

#[tokio::test]
async fn requests_that_make_no_sense_say_why() {
    let (bench, deployment) = waiting().await;
    let mut operator = bench.operator();
    let rollback = |environment: &str| RollbackDeploymentRequest {
        deployment: deployment.clone(),
        environment: environment.into(),
        to: String::new(),
    };
    let nothing = operator.rollback_deployment(rollback("")).await.unwrap_err();
    assert_eq!((nothing.code(), name_of(&nothing)), (Code::FailedPrecondition, "nothing_to_roll_back"));
    let elsewhere = operator.rollback_deployment(rollback("eu")).await.unwrap_err();
    assert_eq!((elsewhere.code(), name_of(&elsewhere)), (Code::InvalidArgument, "no_stage"));
    assert!(elsewhere.message().ends_with("its stages are staging, production"), "{elsewhere}");

    let resolve = ResolveDeploymentRequest { deployment: deployment.clone(), resolution: 0, step: None };
    let resolve = operator.resolve_deployment(resolve).await.unwrap_err();
    assert_eq!((resolve.code(), name_of(&resolve)), (Code::InvalidArgument, "bad_field"));

    let unknown = CancelDeploymentRequest { deployment: "zzzz".into() };
    let unknown = operator.cancel_deployment(unknown).await.unwrap_err();
    assert_eq!((unknown.code(), name_of(&unknown)), (Code::NotFound, "no_deployment"));
    assert_eq!(unknown.message(), "there is no deployment zzzz; `stopover list` shows them");
}
