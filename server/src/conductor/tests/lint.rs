//! What the linter found: told, or refused before anything is touched.

use std::sync::Arc;

use stopover_model::digest::Digest;
use stopover_model::migration::{Migration, Variant};
use stopover_model::report::{LedgerEntry, LedgerState, Outcome, StepError, StepReport};
use tokio::task::JoinHandle;

use super::*;

const DROPS: &str = "SELECT 1;\nALTER TABLE t DROP a;";

fn drops(up: &str) -> Migration {
    let files = [("up.sql", up), ("down.sql", "ALTER TABLE t ADD a int;")];
    let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    Migration::parse("001_x".parse().unwrap(), files.into()).unwrap()
}

fn create(bench: &Bench, lint: &str, migration: Migration) -> JoinHandle<Result<DeploymentId, ConductError>> {
    let text = format!("name = \"p\"\n[lint]\n{lint}\n[[stage]]\nenvironment = \"staging\"\n");
    let new = Create {
        pipeline: stopover_lint::read_pipeline("p.toml", &text).unwrap(),
        migrations: vec![migration],
        by: person(),
        kind: DeploymentKind::Migration,
        request_id: Uuid::new_v4(),
        expected_digest: None,
        again: None,
        restore_saved: false,
    };
    let conductor = bench.conductor.clone();
    tokio::spawn(async move { Ok(conductor.create(new).await?.0) })
}

/// Where the migration is applied already, with this content.
fn applied(digest: Digest) -> Outcome {
    let StepReport::Inspected(mut inspection) = agent::report(StepKind::Inspect) else {
        panic!("no inspection")
    };
    inspection.ledger.push(LedgerEntry {
        migration: "001_x".parse().unwrap(),
        digest,
        state: LedgerState::Applied,
        variant: Variant::Standard,
        deployment: DeploymentId::from_random(1),
        at: now(),
        origin: None,
    });
    Outcome::Succeeded { report: StepReport::Inspected(inspection) }
}

#[tokio::test]
async fn what_a_stage_would_refuse_becomes_no_deployment() {
    let mut bench = Bench::start().await;
    let creating = create(&bench, "refuse = \"ban-drop-column\"", drops(DROPS));
    bench.asked().await.succeed().await;
    let refused = soon("an answer", creating).await.unwrap().unwrap_err();
    assert!(matches!(refused, ConductError::Linted(_)));
    let text = refused.to_string();
    assert!(
        text.starts_with("no deployment was made: staging refuses ban-drop-column in 001_x/up.sql:2: "),
        "{text}"
    );
    assert!(text.contains("\nhint: change it: "), "{text}");
    assert!(bench.store.list_deployments(10).await.unwrap().is_empty());
    assert!(bench.agent.asked.is_empty());
}

#[tokio::test]
async fn a_comment_in_the_sql_excepts_it_and_the_way_back_counts_as_well() {
    let mut bench = Bench::start().await;
    let sql = DROPS.replace("ALTER", "-- squawk-ignore ban-drop-column\nALTER");
    let id = soon("an answer", create(&bench, "refuse = \"all\"", drops(&sql))).await.unwrap().unwrap();
    assert_eq!(bench.finish(&id).await.state().outcome, Some(DeploymentOutcome::Succeeded));

    let down = "SELECT 1;\nDROP INDEX i;";
    let files =
        [("up.sql", "SELECT 1;"), ("down.sql", down)].map(|(n, t)| (n.to_owned(), t.as_bytes().to_vec()));
    let migration = Migration::parse("002_y".parse().unwrap(), files.into()).unwrap();
    let creating = create(&bench, "refuse = \"all\"", migration);
    bench.asked().await.succeed().await;
    let refused = soon("an answer", creating).await.unwrap().unwrap_err().to_string();
    assert!(refused.contains("require-concurrent-index-deletion in 002_y/down.sql:2"), "{refused}");
}

#[tokio::test]
async fn what_is_applied_already_is_refused_nowhere() {
    let mut bench = Bench::start().await;
    let digest = drops(DROPS).digest;
    let creating = create(&bench, "refuse = \"all\"", drops(DROPS));
    bench.asked().await.take().end(applied(digest)).await;
    let id = soon("an answer", creating).await.unwrap().unwrap();
    bench.asked().await.take().end(applied(digest)).await;
    let follower = bench.finish(&id).await;
    assert_eq!(follower.state().outcome, Some(DeploymentOutcome::Succeeded));
    assert_eq!(follower.state().lint[0].rule, "ban-drop-column", "the log has what was found");
}

#[tokio::test]
async fn where_nobody_could_look_the_stage_refuses_before_its_backup() {
    let mut bench = Bench::start().await;
    let creating = create(&bench, "refuse = \"ban-drop-column\"", drops(DROPS));
    let error = StepError::new(ErrorClass::Setup, "not now");
    bench.asked().await.take().end(Outcome::Failed { error, report: None }).await;
    let id = soon("an answer", creating).await.unwrap().unwrap();
    bench.restart().await;
    bench.asked().await.succeed().await;
    let mut follower = bench.follow(&id).await;
    follower.until("the refusal", |d| d.paused.is_some()).await;
    let refused = follower.state().stages[0].targets[0].refused.clone().unwrap();
    assert!(
        refused.message.starts_with("staging refuses ban-drop-column in 001_x/up.sql:2"),
        "{}",
        refused.message
    );
    assert_eq!(refused.place.unwrap().text, "ALTER TABLE t DROP a;");
    assert!(bench.agent.asked.is_empty(), "no backup, no migration");
}

#[tokio::test]
async fn a_warning_is_in_the_plan_and_the_deployment_goes_on() {
    let mut bench = Bench::start().await;
    let id = soon("an answer", create(&bench, "", drops(DROPS))).await.unwrap().unwrap();
    let follower = bench.finish(&id).await;
    assert_eq!(follower.state().outcome, Some(DeploymentOutcome::Succeeded));
    let warnings = follower.records.iter().find_map(|record| match &record.event {
        Event::Planned { plan, .. } => Some(plan.warnings.clone()),
        _ => None,
    });
    assert_eq!(warnings.unwrap(), ["lint: ban-drop-column in 001_x/up.sql:2"]);
    let id = soon("an answer", create(&bench, "allow = \"all\"", drops(DROPS))).await.unwrap().unwrap();
    assert!(bench.finish(&id).await.state().lint.is_empty());
}

#[tokio::test]
async fn a_plan_tells_each_finding_with_the_stages_where_it_would_run() {
    let mut bench = Bench::start().await;
    let stages = "[[stage]]\nenvironment = \"staging\"\n[[stage]]\nenvironment = \"production\"\n";
    let pipeline = stopover_lint::read_pipeline(
        "p.toml",
        &format!("name = \"p\"\n{stages}[stage.lint]\nrefuse = \"all\"\n"),
    );
    let (pipeline, migrations): (_, Arc<[_]>) = (pipeline.unwrap(), [drops(DROPS)].into());
    let plan = |of: &Bench| {
        let (conductor, pipeline, migrations) = (of.conductor.clone(), pipeline.clone(), migrations.clone());
        tokio::spawn(async move { conductor.plan(&pipeline, &migrations).await.unwrap() })
    };
    let planning = plan(&bench);
    bench.asked().await.succeed().await;
    let found = soon("a plan", planning).await.unwrap();
    let [one] = &found.lint.findings[..] else { panic!("{found:?}") };
    // Production does not exist yet: it would run there.
    assert_eq!((one.known.warn.len(), one.known.refuse[0].as_str()), (1, "production"));
    assert!(found.stages[0].targets[0].lint_refusal.is_none());

    let planning = plan(&bench);
    bench.asked().await.take().end(applied(migrations[0].digest)).await;
    let found = soon("a plan", planning).await.unwrap();
    assert_eq!(found.lint.findings[0].known.warn, [], "in staging it is applied");
}
