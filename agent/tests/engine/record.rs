//! Migrations that count as applied although no deployment ran them, and the ledger's versions.

use stopover_agent::inspect::{self, InspectRequest};
use stopover_agent::record::{self, RecordWork};
use stopover_agent::rollback;
use stopover_model::event::StepKind;
use stopover_model::history::{AppliedMigration, Origin, Recorded};
use stopover_model::migration::Migration;
use stopover_model::report::{ErrorClass, Inspection, LedgerState, Outcome, StepError, StepReport};
use tokio_postgres::Client;

use crate::support::*;

const A: &[(&str, &str)] = &[("up.sql", "CREATE TABLE a (id int)"), ("down.sql", "DROP TABLE a")];
const B: &[(&str, &str)] = &[("up.sql", "CREATE TABLE b (id int)")];

fn adopted() -> Origin {
    Origin::Adopted { from: "public.goose_db_version".into(), by: "anna".parse().unwrap() }
}

async fn record(bench: &Bench, migrations: &[&Migration], origin: Origin) -> Result<Recorded, StepError> {
    let applied = |m: &&Migration| AppliedMigration { migration: m.id.clone(), digest: m.digest };
    let work = RecordWork { migrations: migrations.iter().map(applied).collect(), origin };
    record::run(&bench.context(StepKind::Migrate), &work).await
}

async fn inspected(bench: &Bench, migrations: &[&Migration]) -> Inspection {
    let request = InspectRequest {
        migrations: migrations.iter().map(|m| (*m).clone()).collect(),
        sample: None,
        backup: None,
    };
    match inspect::run(&bench.context(StepKind::Inspect), &request).await {
        Outcome::Succeeded { report: StepReport::Inspected(inspection) } => inspection,
        other => panic!("{other:#?}"),
    }
}

#[tokio::test]
async fn what_was_recorded_counts_as_applied_and_its_sql_never_runs() {
    let bench = Bench::new().await;
    let (a, b) = (migration("001_a", A), migration("002_b", B));
    let recorded = record(&bench, &[&a, &b], adopted()).await.unwrap();
    assert_eq!((recorded.written.len(), recorded.already.len()), (2, 0));
    assert_eq!(bench.value("SELECT to_regclass('a') IS NULL").await, "t");
    let ledger = inspected(&bench, &[&a, &b]).await.ledger;
    let origin = Some("adopted from public.goose_db_version by anna".to_owned());
    assert_eq!(ledger.len(), 2);
    assert!(ledger.iter().all(|e| e.origin == origin && e.state == LedgerState::Applied), "{ledger:?}");
    assert!(applied(bench.migrate(&a).await).already_applied);

    // Again, and with one more: only what is new is written, and nothing is overwritten.
    let c = migration("003_c", B);
    let again = record(&bench, &[&a, &c], Origin::Baseline { by: "ben".parse().unwrap() }).await.unwrap();
    assert_eq!((again.written, again.already), (vec![c.id.clone()], vec![a.id.clone()]));
    let sql = "SELECT string_agg(what || ' ' || migration || ' ' || origin, ', ' ORDER BY id) FROM stopover.history";
    assert_eq!(
        bench.value(sql).await,
        "adopted 001_a adopted from public.goose_db_version by anna, \
         adopted 002_b adopted from public.goose_db_version by anna, baseline 003_c baseline by ben"
    );
    bench.assert_clean().await;
}

#[tokio::test]
async fn what_the_ledger_knows_otherwise_is_refused_and_nothing_is_written() {
    let bench = Bench::new().await;
    let (a, b) = (migration("001_a", A), migration("002_b", B));
    applied(bench.migrate(&a).await);
    let other = migration("001_a", B);
    let error = record(&bench, &[&other, &b], adopted()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Drift);
    assert!(
        error.message.contains("other content: 001_a (") && error.message.contains("nothing was written")
    );
    let open = migration("003_c", &[("up.sql", "VACUUM; SELECT nope")]);
    failure(bench.migrate(&open).await);
    let error = record(&bench, &[&b, &open], adopted()).await.unwrap_err();
    assert!(error.message.contains("begun and not ended: 003_c (by 0123456789)"), "{error:?}");
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration").await, "2");
    bench.assert_clean().await;
}

#[tokio::test]
async fn who_holds_a_newer_epoch_is_not_overruled() {
    let bench = Bench::new().await;
    let (a, b) = (migration("001_a", A), migration("002_b", B));
    applied(bench.migrate(&a).await);
    bench.execute("UPDATE stopover.fence SET epoch = 1000").await;
    let error = record(&bench, &[&b], adopted()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Fenced);
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration").await, "1");
}

#[tokio::test]
async fn taking_back_what_was_recorded_can_not_prove_that_the_schema_is_as_before() {
    let bench = Bench::new().await;
    bench.execute("CREATE TABLE a (id int)").await;
    let a = migration("001_a", A);
    record(&bench, &[&a], adopted()).await.unwrap();
    let context = bench.context(StepKind::Rollback);
    let reporter = context.reporter.clone();
    let report = rolled_back(rollback::run(context, rollback_work(&a)).await);
    assert_eq!((report.nothing_to_do, report.schema_restored), (false, None));
    let said = shown(&reporter).join("\n");
    assert!(said.contains("adopted from public.goose_db_version by anna): whether it is so again"), "{said}");
    assert_eq!(bench.value("SELECT to_regclass('a') IS NULL").await, "t");
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration").await, "0");
}

/// The ledger as an agent before versions left it, with one migration applied.
async fn of_version_1(client: &Client) {
    let tables = include_str!("../../src/ledger/schema.sql");
    let row = "INSERT INTO stopover.migration (id, digest, state, variant, deployment, attempt, epoch, run, agent, \
               statements, applied_at) VALUES ('000_old', repeat('0', 64), 'applied', 'standard', '0123456789', 1, 0, \
               'run', 'agent-1', 1, now())";
    client.batch_execute(&format!("{tables} {row}")).await.unwrap();
}

#[tokio::test]
async fn an_older_ledger_is_read_as_it_is_and_upgraded_by_who_writes() {
    let bench = Bench::new().await;
    of_version_1(&bench.client).await;
    let old = migration("000_old", A);
    let ledger = inspected(&bench, &[&old]).await.ledger;
    assert_eq!((ledger.len(), &ledger[0].origin), (1, &None));
    applied(bench.migrate(&migration("001_a", A)).await);
    assert_eq!(bench.value("SELECT version >= 2 FROM stopover.version").await, "t");
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration WHERE origin IS NULL").await, "2");
    record(&bench, &[&migration("002_b", B)], adopted()).await.unwrap();
    assert_eq!(inspected(&bench, &[&old]).await.ledger.len(), 1);
}

#[tokio::test]
async fn a_newer_ledger_is_left_alone() {
    let bench = Bench::new().await;
    applied(bench.migrate(&migration("001_a", A)).await);
    bench.execute("UPDATE stopover.version SET version = 99").await;
    let error = failure(bench.migrate(&migration("002_b", B)).await);
    assert!(error.message.contains("has version 99"), "{error:?}");
    assert_eq!(bench.value("SELECT to_regclass('b') IS NULL").await, "t");
}
