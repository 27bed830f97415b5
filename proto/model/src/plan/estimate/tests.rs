use std::collections::BTreeMap;

use super::*;
use crate::backfill::Throttle;
use crate::deployment::tests::{at, inspection};
use crate::impact::{FiringTrigger, Sample, ScriptImpact, Work};
use crate::migration::Migration;
use crate::plan::{Action, Measured, MeasuredKind, TargetPlan};

const MILLION: u64 = 1_000_000;
/// What a row of the table has.
const ROW: u64 = 250;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn migration(up: &str) -> MigrationSummary {
    let files = BTreeMap::from([("up.sql".to_owned(), up.as_bytes().to_vec())]);
    MigrationSummary::of(&Migration::parse("001_x".parse().unwrap(), files).unwrap())
}

fn work(kind: WorkKind, rows: u64) -> Work {
    Work { kind, relation: "public.users".into(), rows, bytes: rows * ROW }
}

fn doing(index: u32, kind: WorkKind) -> StatementImpact {
    StatementImpact { index, work: vec![work(kind, MILLION)], ..StatementImpact::default() }
}

fn tried(index: u32, kind: WorkKind, sample: Sample) -> StatementImpact {
    StatementImpact { sample: Some(sample), ..doing(index, kind) }
}

/// A measurement of another migration in this environment.
fn measured(kind: MeasuredKind, rows: u64, took: Duration) -> Measurement {
    Measurement {
        environment: "production".parse().unwrap(),
        database: "users".parse().unwrap(),
        digest: crate::digest::Digester::new("another").finish(),
        variant: Variant::Standard,
        statement: 0,
        kind,
        rows,
        bytes: rows * ROW,
        touched: rows,
        took,
        at: at(0),
    }
}

/// The same statement, in an earlier stage.
fn seen(
    migration: &MigrationSummary,
    statement: u32,
    kind: MeasuredKind,
    rows: u64,
    took: Duration,
) -> Measurement {
    let environment = "staging".parse().unwrap();
    Measurement { environment, digest: migration.digest, statement, ..measured(kind, rows, took) }
}

fn known(history: &[Measurement]) -> Known<'_> {
    Known { environment: "production", history, ..Known::default() }
}

fn plan(
    migration: &MigrationSummary,
    statements: Vec<StatementImpact>,
    known: &Known<'_>,
) -> Result<Estimate, String> {
    let impact = ScriptImpact { migration: migration.id.clone(), variant: Variant::Standard, statements };
    let inspection = Inspection { impacts: vec![impact], ..inspection() };
    let database = "users".parse().unwrap();
    let out_of_order = crate::pipeline::OutOfOrder::Refuse;
    let migrations = std::slice::from_ref(migration);
    let drift = crate::pipeline::DriftSettings::default();
    let plan = TargetPlan::make(&database, migrations, &inspection, known, out_of_order, &drift).unwrap();
    match plan.migrations.into_iter().next().unwrap().action {
        Action::Apply { estimate: Some(estimate), missing: None, .. } => Ok(estimate),
        Action::Apply { estimate: None, missing: Some(missing), .. } => Err(missing),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_only_changes_the_catalog_takes_next_to_nothing() {
    let migration = migration(
        "ALTER TABLE users ADD COLUMN a int; SET lock_timeout = '1s'; COMMENT ON TABLE users IS 'x'",
    );
    let estimate = plan(&migration, vec![StatementImpact::default()], &known(&[])).unwrap();
    assert_eq!((estimate.words().as_str(), estimate.statements.len()), ("next to nothing", 0));
    assert_eq!(estimate.basis, "only the catalog changes; a wait for a lock comes on top");
}

#[test]
fn the_same_statement_elsewhere_is_trusted_most() {
    let migration = migration("ALTER TABLE users ALTER COLUMN a TYPE text");
    let history = [
        seen(&migration, 0, MeasuredKind::Rewrite, 500_000, ms(7_000)),
        seen(&migration, 0, MeasuredKind::Rewrite, 100, ms(900)),
        measured(MeasuredKind::Rewrite, MILLION, ms(60_000)),
    ];
    let sample = Sample { rows: 10_000, took: ms(900), fixed: ms(0) };
    let estimate = plan(&migration, vec![tried(0, WorkKind::Rewrite, sample)], &known(&history)).unwrap();
    assert_eq!((estimate.duration, estimate.spread), (ms(14_000), None));
    assert_eq!(estimate.basis, "500,000 rows took 7.0 s in staging");
    assert_eq!(estimate.statements[0].words(), "about 14 s");
}

#[test]
fn a_rehearsal_of_this_database_goes_before_all_else_and_one_of_another_for_nothing() {
    let migration = migration("ALTER TABLE users ALTER COLUMN a TYPE text");
    let rehearsed = |environment: &str, name: &str, took| Measurement {
        environment: environment.parse().unwrap(),
        database: name.parse().unwrap(),
        ..seen(&migration, 0, MeasuredKind::Rehearsed, 500_000, took)
    };
    let history = [
        seen(&migration, 0, MeasuredKind::Rewrite, MILLION, ms(9_000)),
        rehearsed("staging", "users", ms(7_000)),
        rehearsed("production", "other", ms(7_000)),
        rehearsed("production", "users", ms(2_000)),
    ];
    let work = || vec![doing(0, WorkKind::Rewrite)];
    let found = plan(&migration, work(), &known(&history)).unwrap();
    assert_eq!(found.duration, ms(4_000));
    let basis = "500,000 rows took 2.0 s rehearsed on a copy of this database, 2023-11-14 22:13 UTC";
    assert_eq!(found.basis, basis);
    let without = plan(&migration, work(), &known(&history[..3])).unwrap();
    assert_eq!(without.basis, "1,000,000 rows took 9.0 s in staging");
}

#[test]
fn a_run_on_very_little_speaks_only_where_nothing_else_does() {
    let migration = migration("UPDATE users SET a = 1");
    let tiny = [seen(&migration, 0, MeasuredKind::ChangeRows, 20, ms(1))];
    let sample = Sample { rows: 10_000, took: ms(120), fixed: ms(20) };
    let tried = plan(&migration, vec![tried(0, WorkKind::ChangeRows, sample)], &known(&tiny)).unwrap();
    assert_eq!(tried.duration, ms(20 + 100 * 100));
    assert_eq!(tried.basis, "10,000 of 1,000,000 rows took 120 ms in a sample that was rolled back");
    let alone = plan(&migration, vec![doing(0, WorkKind::ChangeRows)], &known(&tiny)).unwrap();
    assert_eq!((alone.duration, alone.basis.as_str()), (ms(50_000), "20 rows took 1 ms in staging"));
}

#[test]
fn statements_of_one_run_are_told_together_and_each() {
    let migration = migration("UPDATE users SET a = 1; CREATE INDEX i ON users (a)");
    let history = [
        seen(&migration, 0, MeasuredKind::ChangeRows, 100_000, ms(1_500)),
        seen(&migration, 1, MeasuredKind::BuildIndex, 100_000, ms(100)),
    ];
    let statements = vec![doing(0, WorkKind::ChangeRows), doing(1, WorkKind::BuildIndex)];
    let estimate = plan(&migration, statements, &known(&history)).unwrap();
    assert_eq!(estimate.duration, ms(16_000));
    assert_eq!(estimate.basis, "100,000 rows took 1.6 s in staging");
    let each: Vec<_> = estimate.statements.iter().map(|s| (s.index, s.duration)).collect();
    assert_eq!(each, [(0, ms(15_000)), (1, ms(1_000))]);
}

#[test]
fn rates_of_this_database_give_a_median_and_a_spread() {
    let migration = migration("ALTER TABLE users ALTER COLUMN a TYPE bigint");
    // 25 MB in 0.5, 1, 2 and 4 s, and once in the environment's other database.
    let mut history: Vec<_> =
        [500, 1_000, 2_000, 4_000].map(|took| measured(MeasuredKind::Rewrite, 100_000, ms(took))).into();
    let other = measured(MeasuredKind::Rewrite, 100_000, ms(1));
    history.push(Measurement { database: "other".parse().unwrap(), ..other });
    let elsewhere = measured(MeasuredKind::Rewrite, 100_000, ms(1));
    history.push(Measurement { environment: "staging".parse().unwrap(), ..elsewhere });
    let estimate = plan(&migration, vec![doing(0, WorkKind::Rewrite)], &known(&history)).unwrap();
    // The median of 6.25, 12.5, 25 and 50 MB/s is 18.75; the outer quarters are left out.
    assert_eq!(estimate.duration, ms(13_333));
    assert_eq!(estimate.spread, Some(Spread { low: ms(10_000), high: ms(20_000) }));
    assert_eq!(estimate.words(), "10 to 20 s");
    assert_eq!(estimate.basis, "rewrites ran at 13 to 25 MB/s here, 4 runs since 2023-11-14");
}

#[test]
fn rates_of_the_environments_other_databases_do_where_this_one_has_none() {
    let migration = migration("UPDATE users SET a = 1");
    let other = measured(MeasuredKind::ChangeRows, 200_000, ms(2_000));
    let history = [Measurement { database: "other".parse().unwrap(), ..other }];
    let estimate = plan(&migration, vec![doing(0, WorkKind::ChangeRows)], &known(&history)).unwrap();
    assert_eq!((estimate.duration, estimate.spread), (ms(10_000), None));
    assert_eq!(
        estimate.basis,
        "changes of rows ran at 100,000 rows/s in other databases here, 1 run on 2023-11-14"
    );
}

#[test]
fn an_update_that_touched_few_rows_is_no_measure_of_others() {
    let migration = migration("UPDATE users SET a = 1");
    let picky = Measurement { touched: 3, ..measured(MeasuredKind::ChangeRows, 200_000, ms(2_000)) };
    let missing = plan(&migration, vec![doing(0, WorkKind::ChangeRows)], &known(&[picky])).unwrap_err();
    assert_eq!(
        missing,
        "statement 1 goes through about 1,000,000 rows of public.users: nothing of the kind was measured here, \
         and it could not be tried on a sample"
    );
}

#[test]
fn a_sample_grows_by_what_the_work_is() {
    let migration = migration("CREATE INDEX CONCURRENTLY i ON users (a); UPDATE users SET a = 1");
    let sample = Sample { rows: 1_000, took: ms(12), fixed: ms(2) };
    let trigger = FiringTrigger {
        name: "t".into(),
        table: "public.users".into(),
        for_each_row: true,
        function: "f()".into(),
    };
    let update = StatementImpact { triggers: vec![trigger], ..tried(1, WorkKind::ChangeRows, sample) };
    let statements = vec![tried(0, WorkKind::BuildIndex, sample), update];
    let estimate = plan(&migration, statements, &known(&[])).unwrap();
    // 10 ms for 1,000 rows; a million are a thousand times as many, and sorting costs twice as much for each.
    let each: Vec<_> = estimate.statements.iter().map(|s| s.duration).collect();
    assert_eq!(each, [ms(2 + 10 * 1_000 * 2 * 2), ms(2 + 10 * 1_000)]);
    assert!(estimate.statements[0].basis.ends_with("twice that for CONCURRENTLY"), "{}", estimate.basis);
    assert!(estimate.statements[1].basis.ends_with("without the trigger that fires"), "{}", estimate.basis);
    assert!(
        estimate.basis.starts_with("statement 1: 1,000 of 1,000,000 rows took 12 ms"),
        "{}",
        estimate.basis
    );
    assert!(estimate.basis.contains("; statement 2: "), "{}", estimate.basis);
}

#[test]
fn a_backfill_is_no_faster_than_it_may_be() {
    let migration = migration("-- stopover: backfill pause=100ms\nUPDATE users SET a = 1 WHERE a IS NULL");
    let history = [measured(MeasuredKind::Backfill, 100_000, ms(1_000))];
    let estimate = |stage| {
        let known = Known { stage, ..known(&history) };
        plan(&migration, vec![doing(0, WorkKind::ChangeRows)], &known).unwrap()
    };
    // 10 s of work in batches of 100 ms, and as long in pauses.
    let paused = estimate(Throttle::default());
    assert_eq!(paused.duration, ms(20_000));
    assert_eq!(
        paused.basis,
        "backfills ran at 100,000 rows/s here, 1 run on 2023-11-14, with 100 ms between two batches of 100 ms; \
         holds come on top"
    );
    let held = estimate(Throttle { max_rate: Some(5_000), ..Throttle::default() });
    assert_eq!(
        (held.duration, held.basis.as_str()),
        (ms(200_000), "at most 5,000 rows/s; holds come on top")
    );
    // Rates of whole statements do where no backfill was measured, and batches cost something.
    let whole = [measured(MeasuredKind::ChangeRows, 100_000, ms(1_000))];
    let unmeasured = plan(&migration, vec![doing(0, WorkKind::ChangeRows)], &known(&whole)).unwrap();
    assert_eq!(unmeasured.duration, ms(26_000));
    // What an earlier stage took has its pauses in it.
    let before = [seen(&migration, 0, MeasuredKind::Backfill, 100_000, ms(3_000))];
    let again = plan(&migration, vec![doing(0, WorkKind::ChangeRows)], &known(&before)).unwrap();
    assert_eq!(again.duration, ms(30_000));
}

#[test]
fn what_nobody_can_look_into_is_known_from_its_own_runs_alone() {
    let migration = migration("DO $$ BEGIN UPDATE users SET a = 1; END $$");
    let rates = [measured(MeasuredKind::ChangeRows, MILLION, ms(1_000))];
    let missing = plan(&migration, vec![], &known(&rates)).unwrap_err();
    assert_eq!(
        missing,
        "what statement 1 does can't be seen from outside, and no earlier stage has measured it"
    );
    let mut before = seen(&migration, 0, MeasuredKind::Other, 0, ms(4_000));
    before.bytes = 0;
    let estimate = plan(&migration, vec![], &known(&[before])).unwrap();
    assert_eq!((estimate.duration, estimate.basis.as_str()), (ms(4_000), "it took 4.0 s in staging"));
}

#[test]
fn the_whole_run_speaks_where_its_statements_can_not() {
    let migration = migration("SELECT f(); UPDATE users SET a = 1");
    let run = Measured { environment: "staging", migration: &migration.id, rows: 0, took: ms(3_000) };
    let known = Known { runs: vec![run], ..known(&[]) };
    let estimate = plan(&migration, vec![doing(1, WorkKind::ChangeRows)], &known).unwrap();
    assert_eq!((estimate.duration, estimate.basis.as_str()), (ms(3_000), "it took 3.0 s in staging"));
    assert!(estimate.statements.is_empty());
}

#[test]
fn estimates_of_older_logs_are_read() {
    let old = r#"{"action":"apply","variant":"standard","estimate":{"duration":"30s","basis":"20,000 rows took 2.0 s"}}"#;
    let read: Action = serde_json::from_str(old).unwrap();
    let estimate = Some(Estimate::new(ms(30_000), "20,000 rows took 2.0 s"));
    assert_eq!(read, Action::Apply { variant: Variant::Standard, estimate, missing: None });
    assert_eq!(serde_json::to_string(&read).unwrap(), old);
}
