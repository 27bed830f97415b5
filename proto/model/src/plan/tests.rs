use super::*;
use crate::deployment::tests::{at, inspection, migration};
use crate::id::DeploymentId;
use crate::report::{LedgerEntry, Session};

fn database() -> DatabaseName {
    "users".parse().unwrap()
}

fn plan(inspection: &Inspection, measured: &[Measured<'_>]) -> Result<MigrationPlan, StepError> {
    let plan = TargetPlan::make(&database(), &[migration("001_a", true, false)], inspection, measured)?;
    Ok(plan.migrations.into_iter().next().unwrap())
}

fn with_rows(rows: u64) -> Inspection {
    let mut inspection = inspection();
    inspection.tables[0].rows = rows;
    inspection
}

fn in_ledger(digest: Digest, state: LedgerState) -> Inspection {
    let entry = LedgerEntry {
        migration: "001_a".parse().unwrap(),
        digest,
        state,
        variant: Variant::Batched,
        deployment: DeploymentId::from_random(3),
        at: at(0),
        origin: None,
    };
    Inspection { ledger: vec![entry], ..inspection() }
}

#[test]
fn the_live_row_count_picks_the_variant_and_the_reason_says_so() {
    let small = plan(&with_rows(99), &[]).unwrap();
    assert!(matches!(small.action, Action::Apply { variant: Variant::Standard, .. }));
    assert_eq!(small.reason, "users has 99 rows, fewer than 100");
    let large = plan(&with_rows(100), &[]).unwrap();
    assert!(matches!(large.action, Action::Apply { variant: Variant::Batched, .. }));
    assert_eq!(large.reason, "users has 100 rows, from 100 on the batched script runs");
}

#[test]
fn what_is_there_with_the_same_content_is_skipped() {
    let digest = migration("001_a", true, false).digest;
    let plan = plan(&in_ledger(digest, LedgerState::Applied), &[]).unwrap();
    assert_eq!(plan.action, Action::Skip);
    assert!(plan.reason.starts_with("already applied by deployment"), "{}", plan.reason);
}

#[test]
fn what_was_adopted_says_where_from() {
    let mut inspection = in_ledger(migration("001_a", true, false).digest, LedgerState::Applied);
    inspection.ledger[0].origin = Some("adopted from public.goose_db_version by anna".to_owned());
    let plan = plan(&inspection, &[]).unwrap();
    assert_eq!(plan.action, Action::Skip);
    assert!(plan.reason.starts_with("adopted from public.goose_db_version by anna, 20"), "{}", plan.reason);
}

#[test]
fn what_was_begun_goes_on_in_the_variant_in_which_it_was_begun() {
    let digest = migration("001_a", true, false).digest;
    let plan = plan(&in_ledger(digest, LedgerState::Running), &[]).unwrap();
    assert!(
        matches!(plan.action, Action::Apply { variant: Variant::Batched, .. }),
        "whatever the rows say now"
    );
}

#[test]
fn other_content_under_the_same_name_is_drift_with_the_way_out() {
    let other = migration("002_b", true, false).digest;
    let error = plan(&in_ledger(other, LedgerState::Applied), &[]).unwrap_err();
    assert_eq!(error.class, ErrorClass::Drift);
    assert!(error.message.contains("other content") && error.hint.is_some(), "{error:?}");
}

#[test]
fn a_standby_and_a_missing_table_are_refused() {
    let standby = Inspection { in_recovery: true, ..inspection() };
    assert_eq!(plan(&standby, &[]).unwrap_err().class, ErrorClass::Setup);
    let mut missing = inspection();
    missing.tables[0].exists = false;
    assert!(plan(&missing, &[]).unwrap_err().message.contains("which is not in the database"));
}

#[test]
fn the_estimate_grows_with_the_rows_and_names_its_basis() {
    let id = "001_a".parse().unwrap();
    let measured =
        Measured { environment: "staging", migration: &id, rows: 20_000, took: Duration::from_secs(2) };
    let Action::Apply { estimate: Some(estimate), .. } =
        plan(&with_rows(300_000), &[measured]).unwrap().action
    else {
        panic!("an estimate was due");
    };
    assert_eq!(estimate.duration, Duration::from_secs(30));
    assert_eq!(estimate.basis, "20,000 rows took 2.0 s in staging");
}

#[test]
fn a_long_transaction_is_worth_a_warning() {
    let session = Session {
        pid: 7,
        user: "app".into(),
        application: String::new(),
        state: "idle in transaction".into(),
        transaction_age: Duration::from_secs(61),
        query_age: Duration::ZERO,
        query: None,
    };
    let inspection = Inspection { long_running: vec![session], ..inspection() };
    let plan = TargetPlan::make(&database(), &[migration("001_a", true, false)], &inspection, &[]).unwrap();
    assert_eq!(
        plan.warnings,
        [
            "pid 7 (an application without a name as app), idle in transaction, has had a transaction open for 1m 01s"
        ]
    );
}

#[test]
fn thousands_are_grouped() {
    assert_eq!(
        [0, 999, 1_000, 300_000, 1_234_567].map(grouped),
        ["0", "999", "1,000", "300,000", "1,234,567"]
    );
}
