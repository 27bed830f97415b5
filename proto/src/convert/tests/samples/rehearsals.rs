//! What agents report of rehearsals.

use std::time::Duration;

use stopover_model::impact::LockMode;
use stopover_model::plan::Variant;
use stopover_model::report::{
    ChangedRows, CheckResult, HeldLock, RehearsalReport, RehearsedMigration, RehearsedRun, RehearsedStatement,
};

use super::id;

pub(super) fn reports() -> Vec<RehearsalReport> {
    let whole = |restored| RehearsedMigration {
        up: Some(run()),
        down: Some(run()),
        again: Some(run()),
        checks: vec![check()],
        schema_restored: restored,
        differences: vec!["index public.users_i is new".into()],
        changed_rows: vec![ChangedRows {
            table: "public.users".into(),
            rows_before: 7,
            rows_after: 6,
            differ: u64::MAX,
        }],
        tables_compared: 3,
        notes: vec!["public.events (40 GB) was not compared".into()],
        ..RehearsedMigration::new(id("001_x"), Variant::Batched)
    };
    let not_run = RehearsedMigration {
        not_run: Some("statement 1 changes roles".into()),
        ..RehearsedMigration::new(id("002_y"), Variant::Standard)
    };
    let report = |migrations| RehearsalReport {
        copy_of: "the backup of this deployment".into(),
        took: Duration::from_secs(61),
        migrations,
    };
    vec![report(vec![whole(Some(true)), whole(Some(false)), whole(None), not_run]), report(Vec::new())]
}

fn run() -> RehearsedRun {
    let statement =
        RehearsedStatement { index: 1, rows: 300_000, took: Duration::from_micros(7), wal_bytes: 1 << 33 };
    let lock = HeldLock {
        relation: "public.users".into(),
        mode: LockMode::AccessExclusive,
        statement: 0,
        held: Duration::from_millis(12),
    };
    RehearsedRun {
        took: Duration::from_secs(2),
        rows: 300_000,
        wal_bytes: 1 << 34,
        statements: vec![statement],
        locks: vec![lock],
    }
}

fn check() -> CheckResult {
    CheckResult {
        name: "every user is complete".into(),
        passed: true,
        unanswered: false,
        expected: "0".into(),
        observed: "0".into(),
        note: None,
        took: Duration::from_millis(3),
    }
}
