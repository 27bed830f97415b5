use std::time::Duration;

use super::*;
use crate::deployment::tests::{at, inspection, migration};
use crate::id::DeploymentId;
use crate::pipeline::DriftPolicy;
use crate::report::{LedgerEntry, Session};

fn database() -> DatabaseName {
    "users".parse().unwrap()
}

fn plan(inspection: &Inspection, measured: &[Measured<'_>]) -> Result<MigrationPlan, StepError> {
    let known = Known { runs: measured.to_vec(), ..Known::default() };
    let plan = TargetPlan::make(
        &database(),
        &[migration("001_a", true, false)],
        inspection,
        &known,
        OutOfOrder::Refuse,
        &DriftSettings::default(),
    )?;
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
    let plan = TargetPlan::make(
        &database(),
        &[migration("001_a", true, false)],
        &inspection,
        &Known::default(),
        OutOfOrder::Refuse,
        &DriftSettings::default(),
    )
    .unwrap();
    assert_eq!(
        plan.warnings,
        [
            "pid 7 (an application without a name as app), idle in transaction, has had a transaction open for 1m 01s"
        ]
    );
}

#[test]
fn drift_is_refused_warned_of_or_allowed() {
    let drifted = Inspection { drift: Some(Box::new(crate::drift::tests::drift())), ..inspection() };
    let plan = |inspection: &Inspection, policy, ignore: &[&str]| {
        let ignore = ignore.iter().map(|glob| glob.parse().unwrap()).collect();
        let settings = DriftSettings { policy, ignore };
        let migrations = [migration("001_a", true, false)];
        TargetPlan::make(
            &database(),
            &migrations,
            inspection,
            &Known::default(),
            OutOfOrder::Refuse,
            &settings,
        )
    };
    let warned = plan(&drifted, DriftPolicy::Warn, &["partman.*"]).unwrap().warnings;
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert!(warned[0].starts_with("the schema of users is not as deployment"), "{warned:?}");
    assert!(warned[0].ends_with("column public.users.nick changed (type integer -> bigint)"), "{warned:?}");
    assert_eq!(plan(&drifted, DriftPolicy::Allow, &[]).unwrap().warnings, Vec::<String>::new());

    let error = plan(&drifted, DriftPolicy::Refuse, &[]).unwrap_err();
    assert_eq!((error.class, error.effect), (ErrorClass::Drift, crate::report::Effect::None));
    assert!(error.message.contains("index public.users_email_idx is new, column"), "{}", error.message);
    assert!(error.message.ends_with("table partman.part_config is gone"), "{}", error.message);
    let hint = error.hint.unwrap();
    for way in [
        "take them back",
        "stopover baseline ENVIRONMENT",
        "stopover drift ENVIRONMENT --database users --accept",
    ] {
        assert!(hint.contains(way), "{hint}");
    }
    // Where all of it is ignored, or nothing is applied, there is nothing to refuse.
    assert!(plan(&drifted, DriftPolicy::Refuse, &["*"]).unwrap().warnings.is_empty());
    let digest = migration("001_a", true, false).digest;
    let there = Inspection { drift: drifted.drift.clone(), ..in_ledger(digest, LedgerState::Applied) };
    assert_eq!(plan(&there, DriftPolicy::Refuse, &[]).unwrap().warnings.len(), 1);
    assert!(plan(&inspection(), DriftPolicy::Refuse, &[]).is_ok());
}

#[test]
fn thousands_are_grouped() {
    assert_eq!(
        [0, 999, 1_000, 300_000, 1_234_567].map(grouped),
        ["0", "999", "1,000", "300,000", "1,234,567"]
    );
}

/// The plan of a series `001_a`, `002_b` …, of which those in `there` are in the ledger.
fn series(
    migrations: &[MigrationSummary],
    there: &[usize],
    out_of_order: OutOfOrder,
) -> Result<TargetPlan, StepError> {
    let entry = |at: &usize| LedgerEntry {
        migration: migrations[*at].id.clone(),
        ..in_ledger(migrations[*at].digest, LedgerState::Applied).ledger.remove(0)
    };
    let inspection = Inspection { ledger: there.iter().map(entry).collect(), ..inspection() };
    TargetPlan::make(
        &database(),
        migrations,
        &inspection,
        &Known::default(),
        out_of_order,
        &DriftSettings::default(),
    )
}

fn numbered(ids: &[&str]) -> Vec<MigrationSummary> {
    ids.iter().map(|id| migration(id, false, false)).collect()
}

#[test]
fn what_came_late_is_refused_with_both_names_and_the_ways_out() {
    let it = numbered(&["001_a", "002_b", "003_c", "004_d", "005_e"]);
    let error = series(&it, &[0, 3], OutOfOrder::Refuse).unwrap_err();
    let text = "002_b, 003_c are not applied to users, and 004_d, which comes later, is (by deployment";
    assert!(error.message.starts_with(text), "{}", error.message);
    let hint = error.hint.unwrap();
    for way in
        ["number it anew", "stopover baseline ENVIRONMENT DIR --through 003_c", "out_of_order = \"allow\""]
    {
        assert!(hint.contains(way), "{hint}");
    }
    let allowed = series(&it, &[0, 3], OutOfOrder::Allow).unwrap();
    let skipped: Vec<_> = allowed.migrations.iter().map(|m| m.action == Action::Skip).collect();
    assert_eq!(skipped, [true, false, false, true, false]);
    for in_order in [&[][..], &[0], &[0, 1, 2], &[0, 1, 2, 3, 4]] {
        assert!(series(&it, in_order, OutOfOrder::Refuse).is_ok(), "{in_order:?}");
    }
}

#[test]
fn another_directory_and_repeatable_scripts_make_no_gap() {
    let mut it = numbered(&["a1", "a2", "b1"]);
    it[2].series = 1;
    assert!(series(&it, &[2], OutOfOrder::Refuse).is_ok(), "of another series");
    assert!(series(&it, &[1], OutOfOrder::Refuse).is_err());

    let flyway = |name: &str| {
        let files = [(name.to_owned(), b"SELECT 1;".to_vec())].into();
        let read = crate::layout::read("db", &files, None).unwrap();
        MigrationSummary::of(&read.migrations[0])
    };
    let it = [flyway("V2__b.sql"), flyway("R__a.sql"), flyway("R__b.sql")];
    assert!(
        series(&it, &[2], OutOfOrder::Refuse).is_ok(),
        "a new version and a new script before one that ran"
    );
}

#[test]
fn a_repeatable_script_runs_again_when_its_content_is_not_what_ran_last() {
    let read = |text: &str| {
        let files = [("R__views.sql".to_owned(), text.as_bytes().to_vec())].into();
        MigrationSummary::of(&crate::layout::read("db", &files, None).unwrap().migrations[0])
    };
    let (one, two) = (read("SELECT 1;"), read("SELECT 2;"));
    assert_eq!((one.id.as_str(), &one.id), ("R__views", &two.id));
    let settings = DriftSettings::default();
    let plan = |now: &MigrationSummary, ran: Digest, state| {
        let mut inspection = in_ledger(ran, state);
        inspection.ledger[0].migration = now.id.clone();
        let now = std::slice::from_ref(now);
        TargetPlan::make(&database(), now, &inspection, &Known::default(), OutOfOrder::Refuse, &settings)
    };
    let again = plan(&one, two.digest, LedgerState::Applied).unwrap().migrations.remove(0);
    assert!(
        matches!(again.action, Action::Apply { .. }) && again.reason.ends_with("it runs again"),
        "{again:?}"
    );
    let same = plan(&one, one.digest, LedgerState::Applied).unwrap().migrations.remove(0);
    assert_eq!(same.action, Action::Skip);
    let open = plan(&one, two.digest, LedgerState::Running).unwrap_err();
    assert_eq!(open.class, ErrorClass::Drift, "what was begun is brought to an end first");
}
