//! A small deployment to try things on, and what must never be accepted.

use std::collections::BTreeMap;

use super::*;
use crate::event::{DeploymentKind, DeploymentOutcome, Event, Record, StepKind};
use crate::id::{Attempt, Epoch};
use crate::migration::Migration;
use crate::pipeline::BackupLevel;
use crate::plan::Variant;
use crate::report::{
    BackupReport, CheckResult, Inspection, MigrateReport, Outcome, RehearsalReport, RehearsedMigration,
    RehearsedRun, RollbackReport, StepReport, TableInspection, VerifyReport,
};

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

pub(crate) fn migration(id: &str, down: bool, monitor: bool) -> MigrationSummary {
    let mut toml = "table = \"users\"\nbatch_above_rows = 100\n".to_owned();
    if monitor {
        toml.push_str("[[monitor]]\nname = \"quiet\"\nevery = \"5s\"\nsql = \"SELECT 0\"\nexpect = 0\n");
    }
    let mut files = BTreeMap::from([
        ("up.sql".to_owned(), b"SELECT 1".to_vec()),
        ("up.batch.sql".to_owned(), b"SELECT 2".to_vec()),
        ("migration.toml".to_owned(), toml.into_bytes()),
    ]);
    if down {
        files.insert("down.sql".to_owned(), b"SELECT 3".to_vec());
    }
    MigrationSummary::of(&Migration::parse(id.parse().unwrap(), files).unwrap())
}

pub(crate) const VERIFY_AND_MONITOR: &str = "[[verify]]\nname = \"done\"\nsql = \"SELECT 0\"\nexpect = 0\n\
    [[monitor]]\nname = \"quiet\"\nevery = \"5s\"\nsql = \"SELECT 0\"\nexpect = 0\n";

/// One with this migration.toml, and a way back.
pub(crate) fn migration_with(id: &str, toml: &str) -> MigrationSummary {
    let files = [("up.sql", "SELECT 1"), ("down.sql", "SELECT 3"), ("migration.toml", toml)];
    let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into();
    MigrationSummary::of(&Migration::parse(id.parse().unwrap(), files).unwrap())
}

pub(crate) fn pipeline(on_failure: &str) -> Pipeline {
    let text = format!(
        "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nsoak = \"12s\"\non_failure = \"{on_failure}\"\n\
         [[stage]]\nenvironment = \"production\"\non_failure = \"{on_failure}\"\n"
    );
    Pipeline::parse("p.toml", &text).unwrap()
}

pub(crate) fn created(pipeline: Pipeline, migrations: Vec<MigrationSummary>) -> Record {
    let digest = Deployment::digest_of(&pipeline, &migrations);
    let by = "ada".parse().unwrap();
    Record {
        deployment: DeploymentId::from_random(7),
        seq: Seq(1),
        at: at(0),
        event: Event::Created {
            pipeline,
            migrations,
            digest,
            by,
            lint: Vec::new(),
            again: None,
            kind: DeploymentKind::Migration,
            restore_saved: false,
        },
    }
}

pub(crate) fn inspection() -> Inspection {
    Inspection {
        server_version: "15.18".into(),
        server_version_num: 150_018,
        system_identifier: "7".into(),
        database: "users".into(),
        database_bytes: 1,
        tables: vec![TableInspection {
            table: "users".into(),
            exists: true,
            rows: 50,
            rows_counted: true,
            total_bytes: 1,
        }],
        ..Inspection::default()
    }
}

/// The answer of a step for which all goes well.
pub(crate) fn success(key: &StepKey, checks: Vec<String>) -> Outcome {
    let took = std::time::Duration::from_secs(1);
    let report = match key.kind {
        StepKind::Inspect => {
            StepReport::Inspected(Inspection { database: key.database.to_string(), ..inspection() })
        }
        StepKind::Backup | StepKind::RollbackBackup => StepReport::BackedUp(BackupReport {
            path: "/b".into(),
            bytes: 1,
            sha256: Digester::new("b").finish(),
            level: BackupLevel::Recorded,
            database_bytes: 1,
            took,
            restore_command: String::new(),
            id: None,
            encrypted: false,
            proof: None,
            only_tables: Vec::new(),
            whole_because: None,
            restore_point: None,
            command_output: None,
        }),
        StepKind::Rehearse => {
            let up = RehearsedRun { took, rows: 1, wal_bytes: 1, statements: vec![], locks: vec![] };
            let migration = RehearsedMigration {
                up: Some(up),
                ..RehearsedMigration::new("001_a".parse().unwrap(), Variant::Standard)
            };
            let copy_of = "the backup".into();
            StepReport::Rehearsed(RehearsalReport { copy_of, took, migrations: vec![migration] })
        }
        StepKind::Migrate => StepReport::Migrated(MigrateReport {
            variant: Variant::Standard,
            already_applied: false,
            statements: 1,
            rows: 1,
            took,
            lock_retries: 0,
            fingerprint_before: None,
            fingerprint_after: None,
        }),
        StepKind::Measure => StepReport::Measured(crate::baseline::tests::metrics(0, 0)),
        StepKind::Verify | StepKind::Monitor => StepReport::Verified(VerifyReport {
            checks: checks
                .into_iter()
                .map(|name| CheckResult {
                    name,
                    passed: true,
                    unanswered: false,
                    expected: "0".into(),
                    observed: "0".into(),
                    note: None,
                    took,
                })
                .collect(),
        }),
        StepKind::Rollback => StepReport::RolledBack(RollbackReport {
            nothing_to_do: false,
            statements: 1,
            took,
            schema_restored: Some(true),
            differences: vec![],
            takes: Vec::new(),
            done: Vec::new(),
        }),
    };
    Outcome::Succeeded { report }
}

fn open() -> Deployment {
    Deployment::open(&created(pipeline("pause"), vec![migration("001_a", true, false)])).unwrap()
}

fn next(deployment: &Deployment, event: Event) -> Record {
    Record { deployment: deployment.id.clone(), seq: deployment.seq.next(), at: at(1), event }
}

#[test]
fn a_log_has_no_gap_and_one_owner() {
    let mut deployment = open();
    let event = Event::WaitingChanged { waiting: None };
    let mut record = next(&deployment, event.clone());
    record.seq = Seq(3);
    assert_eq!(deployment.apply(&record), Err(IllegalEvent::Gap { expected: Seq(2), got: Seq(3) }));
    record = next(&deployment, event);
    record.deployment = DeploymentId::from_random(8);
    assert!(matches!(deployment.apply(&record), Err(IllegalEvent::OtherDeployment { .. })));
}

#[test]
fn a_log_whose_plan_was_changed_is_refused() {
    let mut record = created(pipeline("pause"), vec![migration("001_a", true, false)]);
    if let Event::Created { pipeline, .. } = &mut record.event {
        pipeline.stages.pop();
    }
    assert_eq!(Deployment::open(&record), Err(IllegalEvent::Digest));
}

#[test]
fn production_does_not_begin_before_staging_is_through() {
    let mut deployment = open();
    let event = Event::StageStarted {
        stage: StageIndex(1),
        databases: vec!["users".parse().unwrap()],
        waves: Vec::new(),
    };
    let record = next(&deployment, event);
    assert!(matches!(deployment.apply(&record), Err(IllegalEvent::Stage { .. })));
}

#[test]
fn nothing_is_migrated_without_its_backup() {
    let mut deployment = open();
    let users: DatabaseName = "users".parse().unwrap();
    let record = next(
        &deployment,
        Event::StageStarted { stage: StageIndex(0), databases: vec![users.clone()], waves: Vec::new() },
    );
    deployment.apply(&record).unwrap();
    let step = StepKey::migration(StageIndex(0), &users, StepKind::Migrate, &deployment.migrations[0].id);
    let agent = "a".parse().unwrap();
    let record = next(
        &deployment,
        Event::StepStarted { step: step.clone(), attempt: Attempt(1), epoch: Epoch(1), agent },
    );
    let before = deployment.clone();
    assert!(matches!(deployment.apply(&record), Err(IllegalEvent::Step { .. })));
    assert_eq!(deployment, before);
}

#[test]
fn success_is_claimed_only_when_every_stage_ended_well() {
    let mut deployment = open();
    let record = next(&deployment, Event::Finished { outcome: DeploymentOutcome::Succeeded });
    assert_eq!(deployment.apply(&record), Err(IllegalEvent::NotThrough));
}

#[test]
fn a_rollback_needs_something_to_take_back() {
    let mut deployment = open();
    let event =
        Event::RollbackStarted { stage: StageIndex(0), cause: "x".into(), by: Actor::Pipeline, to: None };
    let record = next(&deployment, event);
    assert!(matches!(deployment.apply(&record), Err(IllegalEvent::NothingToRollBack { .. })));
}

#[test]
fn an_event_reads_back_from_its_json() {
    let record = created(pipeline("rollback"), vec![migration("001_a", true, true)]);
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&json).unwrap(), record);
}
