//! What agents report.

use std::time::Duration;

use stopover_model::baseline::{IndexMetrics, Metrics, StatementMetrics, TableMetrics};
use stopover_model::disk::{Disk, Disks};
use stopover_model::drift::{Drift, DriftedObject, ObjectChange};
use stopover_model::impact::{
    FiringTrigger, LockMode, LockTaken, Sample, SampleWish, ScriptImpact, StatementImpact, Work, WorkKind,
};
use stopover_model::pipeline::BackupLevel;
use stopover_model::plan::Variant;
use stopover_model::report::{
    BackupHindrance, BackupReport, CheckResult, Effect, ErrorClass, ExistingObject, Inspection, LedgerEntry,
    LedgerState, LogLine, MigrateReport, Outcome, PreCheck, RestorePoint, RestoreProof, RollbackReport,
    Session, SqlPlace, StepError, StepReport, TableInspection, TableLock, VerifyReport,
};

use stopover_model::saved::{RestoredValues, Saved, SavedColumn, SavedPurged, SavedRestored, SavedWhat};

use super::{at, digest, id};

pub(in crate::convert::tests) fn outcomes() -> Vec<Outcome> {
    let bare = StepError::new(ErrorClass::Transient, "the database is away").with_effect(Effect::Possible);
    let mut outcomes = vec![
        Outcome::Failed { error: step_error(), report: None },
        Outcome::Failed { error: step_error(), report: Some(verified()) },
        Outcome::Unknown { error: bare },
        Outcome::NotBegun { why: "001_a did not succeed".into() },
    ];
    outcomes.extend(step_reports().into_iter().map(|report| Outcome::Succeeded { report }));
    outcomes
}

pub(in crate::convert::tests) fn step_reports() -> Vec<StepReport> {
    let migrated = |variant, fingerprint| MigrateReport {
        variant,
        already_applied: true,
        statements: 2,
        rows: 300_000,
        took: Duration::from_millis(85),
        lock_retries: 1,
        fingerprint_before: fingerprint,
        fingerprint_after: fingerprint,
    };
    let rolled_back = |schema_restored| RollbackReport {
        nothing_to_do: false,
        statements: 1,
        took: Duration::ZERO,
        schema_restored,
        differences: vec!["index users.i is missing".into()],
        takes: super::takes(),
        done: vec![0, 2],
    };
    let recorded = BackupReport {
        path: "/backups/users.dump".into(),
        bytes: 1 << 40,
        sha256: digest(5),
        level: BackupLevel::Decoded,
        database_bytes: 1 << 41,
        took: Duration::new(61, 5),
        restore_command: "pg_restore users.dump".into(),
        id: Some(id("9g2k4t8w1x")),
        encrypted: true,
        proof: None,
        only_tables: Vec::new(),
        whole_because: Some("a DO block".into()),
        restore_point: None,
        command_output: Some(String::new()),
    };
    let restored = BackupReport {
        level: BackupLevel::Restored,
        proof: Some(RestoreProof {
            tables: 1,
            rows: 2,
            sequences: 3,
            large_objects: 4,
            dumped_in: Duration::from_secs(5),
            restored_in: Duration::from_secs(6),
            compared_in: Duration::from_secs(7),
        }),
        only_tables: vec!["public.users".into()],
        whole_because: None,
        restore_point: Some(RestorePoint { name: "stopover".into(), lsn: "0/16B3748".into() }),
        command_output: None,
        ..recorded.clone()
    };
    let mut reports = vec![
        StepReport::BackedUp(recorded),
        StepReport::BackedUp(restored),
        StepReport::Migrated(migrated(Variant::Standard, None)),
        StepReport::Migrated(migrated(Variant::Batched, Some(digest(6)))),
        verified(),
        StepReport::Measured(metrics()),
    ];
    reports.extend(super::rehearsals::reports().into_iter().map(StepReport::Rehearsed));
    reports.extend(inspections().into_iter().map(StepReport::Inspected));
    reports.extend(
        [None, Some(false), Some(true)].map(|restored| StepReport::RolledBack(rolled_back(restored))),
    );
    reports
}

fn metrics() -> Metrics {
    let index = IndexMetrics { index: "public.users_pkey".into(), bytes: 8192, scans: 7 };
    Metrics {
        at: at(),
        since: Some(at()),
        since_of_server: true,
        tables: vec![TableMetrics {
            oid: u32::MAX,
            table: "public.users".into(),
            bytes: 1 << 40,
            rows: 2,
            dead_rows: 3,
            seq_scans: 4,
            indexes: vec![index],
        }],
        statements: vec![StatementMetrics { id: i64::MIN, calls: 5, took: Duration::from_micros(6) }],
        statements_since: None,
        statements_note: Some("statements of others are not seen".into()),
        connections: 7,
        deadlocks: 8,
        temp_bytes: 9,
    }
}

pub(super) fn step_error() -> StepError {
    StepError {
        class: ErrorClass::Sql,
        message: "could not run up.sql: relation \"user\" does not exist".into(),
        hint: Some("did you mean users?".into()),
        sqlstate: Some("42P01".into()),
        place: Some(SqlPlace {
            file: "up.sql".into(),
            line: 3,
            column: 13,
            text: "ALTER TABLE user ADD a int".into(),
        }),
        effect: Effect::Partial,
    }
}

fn checked() -> CheckResult {
    CheckResult {
        name: "nobody imports".into(),
        passed: false,
        unanswered: false,
        expected: "0".into(),
        observed: "2".into(),
        note: Some("as of now".into()),
        took: Duration::from_millis(4),
    }
}

pub(in crate::convert::tests) fn inspections() -> Vec<Inspection> {
    let table = |exists| TableInspection {
        table: "users".into(),
        exists,
        rows: 300_000,
        rows_counted: exists,
        total_bytes: u64::MAX,
    };
    let entry = |state| LedgerEntry {
        migration: id("001_x"),
        digest: digest(1),
        state,
        variant: Variant::Batched,
        deployment: id("0123456789"),
        at: at(),
        origin: (state == LedgerState::Applied).then(|| "baseline by ada".into()),
    };
    let lock = TableLock {
        table: "users".into(),
        mode: "AccessExclusiveLock".into(),
        granted: true,
        holder: session(),
    };
    let bare = Inspection {
        server_version: "15.18".into(),
        server_version_num: 150_018,
        in_recovery: true,
        system_identifier: "7300000000000000000".into(),
        database: "app users".into(),
        database_bytes: 0,
        ..Inspection::default()
    };
    let full = Inspection {
        tables: vec![table(true), table(false)],
        long_running: vec![session()],
        locks: vec![lock],
        existing: vec![ExistingObject { migration: id("001_x"), object: "column users.a (int)".into() }],
        ledger: vec![entry(LedgerState::Running), entry(LedgerState::Applied)],
        drift: Some(Box::new(drift(Some("accepted by ada".into())))),
        warnings: vec!["plpgsql doesn't load".into()],
        impacts: vec![impact()],
        unpredicted: true,
        checks: vec![PreCheck { migration: id("001_a"), result: checked() }],
        saved: saved(),
        disks: Some(Box::new(disks())),
        hindrances: vec![hindrance(false), hindrance(true)],
        ..bare.clone()
    };
    vec![bare, full]
}

fn disks() -> Disks {
    let bare = Disk { path: "/pg".into(), free: u64::MAX, ..Disk::default() };
    let full = Disk { data: true, wal: true, relations: vec!["public.users".into()], ..bare.clone() };
    Disks { seen: vec![bare, full], unseen: "it is far away".into(), wal_room: 7, copies_here: true }
}

fn hindrance(of_copies: bool) -> BackupHindrance {
    BackupHindrance { what: "it may not read t".into(), way_out: "GRANT it".into(), of_copies }
}

pub(in crate::convert::tests) fn saved() -> Vec<Saved> {
    let column = |name: &str| SavedColumn { name: name.into(), type_name: "text".into() };
    let bare = Saved {
        id: id("0123456789"),
        at: at(),
        deployment: id("aacj4d44at"),
        migration: id("001_x"),
        by_rollback: true,
        what: SavedWhat::Columns,
        table: "users".into(),
        columns: vec![column("a"), column("b")],
        key: vec!["id".into()],
        rows: 9,
        bytes: 8192,
        holder: Some("users_0123456789".into()),
        restored: None,
        purged: None,
        definition: vec![],
    };
    let full = Saved {
        what: SavedWhat::Table,
        holder: None,
        restored: Some(SavedRestored { at: at(), by: "ada".into(), rows: 9 }),
        purged: Some(SavedPurged { at: at(), by: "ada".into() }),
        definition: vec!["CREATE TABLE users (a text)".into()],
        ..bare.clone()
    };
    vec![bare, full]
}

pub(in crate::convert::tests) fn restored_values() -> Vec<RestoredValues> {
    let full = RestoredValues {
        restored: 1,
        kept: 2,
        missing: 3,
        more: true,
        made: Some("users".into()),
        notes: vec!["a trigger".into()],
    };
    vec![RestoredValues::default(), full]
}

fn impact() -> ScriptImpact {
    let lock = |why: Option<&str>| LockTaken {
        relation: "public.users".into(),
        mode: LockMode::ShareRowExclusive,
        why: why.map(str::to_owned),
    };
    let trigger = FiringTrigger {
        name: "t".into(),
        table: "public.users".into(),
        for_each_row: true,
        function: "audit.log()".into(),
    };
    let work = Work { kind: WorkKind::Scan, relation: "public.users".into(), rows: 12, bytes: 8_192 };
    let full = StatementImpact {
        index: 0,
        locks: vec![lock(None), lock(Some("referenced by the foreign key f"))],
        work: vec![work],
        triggers: vec![trigger],
        notes: vec!["what the function does can't be seen".into()],
        sample: Some(Sample {
            rows: 1_000,
            took: Duration::from_micros(17),
            fixed: Duration::from_micros(3),
        }),
        unseen: true,
    };
    let bare = StatementImpact { index: 7, ..StatementImpact::default() };
    ScriptImpact { migration: id("001_x"), variant: Variant::Batched, statements: vec![full, bare] }
}

pub(in crate::convert::tests) fn drifts() -> Vec<Drift> {
    vec![drift(None), drift(Some("accepted by ada".into()))]
}

fn drift(origin: Option<String>) -> Drift {
    let object = |change| DriftedObject {
        kind: "column".into(),
        name: "public.users.nick".into(),
        table: (change == ObjectChange::Changed).then(|| "public.users".into()),
        change,
        details: vec!["type integer -> bigint".into()],
    };
    Drift {
        since: at(),
        deployment: id("0123456789"),
        migration: origin.is_none().then(|| id("001_x")),
        origin,
        objects: [ObjectChange::Added, ObjectChange::Removed, ObjectChange::Changed].map(object).into(),
        more: 3,
        partitions: 2,
    }
}

pub(in crate::convert::tests) fn sample_wishes() -> Vec<SampleWish> {
    let wish =
        SampleWish { migrations: vec![id("001_x")], measured: vec![WorkKind::Rewrite, WorkKind::Scan] };
    vec![SampleWish::default(), wish]
}

pub(in crate::convert::tests) fn log_lines() -> Vec<LogLine> {
    let took = Duration::from_micros(17);
    vec![
        LogLine::Message { text: String::new() },
        LogLine::Notice { severity: "WARNING".into(), code: "01000".into(), text: "take care".into() },
        LogLine::StatementStarted { index: 0 },
        LogLine::StatementFinished { index: 1, rows: 12, took },
        LogLine::LockWait { index: 1, retry: 1, again_in: took, blockers: vec![session()] },
    ]
}

fn verified() -> StepReport {
    let check = |passed, note| CheckResult {
        name: "no user is lost".into(),
        passed,
        unanswered: !passed,
        expected: "0".into(),
        observed: "3".into(),
        note,
        took: Duration::from_millis(2),
    };
    StepReport::Verified(VerifyReport {
        checks: vec![check(true, None), check(false, Some("small table".into()))],
    })
}

fn session() -> Session {
    Session {
        pid: 4711,
        user: "app".into(),
        application: String::new(),
        state: "idle in transaction".into(),
        transaction_age: Duration::from_secs(90),
        query_age: Duration::from_millis(12),
        query: Some("SELECT 1".into()),
    }
}
