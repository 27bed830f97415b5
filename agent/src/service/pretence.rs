//! Stands in for the work, where an agent has no database under it: made-up figures, after a time. For measuring what many
//! agents cost the server; no program that anybody installs has it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use stopover_model::baseline::Metrics;
use stopover_model::digest::Digest;
use stopover_model::event::StepKind;
use stopover_model::id::DatabaseName;
use stopover_model::pipeline::BackupLevel;
use stopover_model::plan::Variant;
use stopover_model::report::{
    BackupReport, CheckResult, Effect, ErrorClass, Inspection, LogLine, MigrateReport, Outcome,
    RehearsalReport, RollbackReport, StepError, StepReport, TableInspection, VerifyReport,
};

use super::job::Job;
use crate::step::{Reporter, StepContext};

/// What is made up.
#[derive(Debug, Clone, Default)]
pub struct Pretence {
    /// How long each step takes.
    pub delay: Duration,
    /// What a migration has to say.
    pub talk: Talk,
    /// In these databases it fails.
    pub fails: BTreeSet<DatabaseName>,
    /// How many agents the server has asked what they serve.
    pub known: Arc<AtomicUsize>,
}

/// Lines in a migration, each with the time at which it was said: nanoseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub struct Talk {
    pub per_second: u32,
    pub lasts: Duration,
}

impl Pretence {
    pub(super) fn introduced(&self) {
        self.known.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) async fn run(self, job: Job, context: StepContext) -> Outcome {
        let works = async {
            if context.step.kind == StepKind::Migrate {
                context.reporter.line(LogLine::StatementStarted { index: 0 });
                self.talk.over(&context.reporter).await;
            }
            tokio::time::sleep(self.delay).await;
        };
        if context.cancel.run_until_cancelled(works).await.is_none() {
            return failed(ErrorClass::Cancelled, "cancelled");
        }
        if context.step.kind == StepKind::Migrate {
            if self.fails.contains(&context.step.database) {
                return failed(ErrorClass::Sql, "made up: this one is to fail");
            }
            let ended = LogLine::StatementFinished { index: 0, rows: 1_000, took: self.delay };
            context.reporter.line(ended);
        }
        Outcome::Succeeded { report: report(job, &context, self.delay) }
    }
}

impl Talk {
    async fn over(self, reporter: &Reporter) {
        if self.per_second == 0 {
            return;
        }
        let begun = tokio::time::Instant::now();
        let (pause, mut at) = (Duration::from_secs(1) / self.per_second, Duration::ZERO);
        while at < self.lasts {
            tokio::time::sleep_until(begun + at).await;
            at += pause;
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            reporter.message(now.as_nanos().to_string());
        }
    }
}

fn failed(class: ErrorClass, message: &str) -> Outcome {
    Outcome::Failed { error: StepError::new(class, message).with_effect(Effect::None), report: None }
}

fn report(job: Job, context: &StepContext, took: Duration) -> StepReport {
    match job {
        Job::Inspect(_) => StepReport::Inspected(inspection(&context.step.database)),
        Job::Backup(_) => StepReport::BackedUp(backup(&context.step.database, took)),
        Job::Rehearse(_) => {
            StepReport::Rehearsed(RehearsalReport { copy_of: "made up".into(), took, migrations: Vec::new() })
        }
        Job::Migrate(_) => StepReport::Migrated(MigrateReport {
            variant: Variant::Standard,
            already_applied: false,
            statements: 1,
            rows: 1_000,
            took,
            lock_retries: 0,
            fingerprint_before: None,
            fingerprint_after: None,
        }),
        Job::Verify(request) => verified(request.checks.iter().map(|check| check.name.as_str()), took),
        Job::Monitor(request, _) => {
            let own = request.checks.iter().map(|check| check.name.as_str());
            verified(own.chain(request.monitors.iter().map(|monitor| monitor.probe.name.as_str())), took)
        }
        Job::Measure(_) => StepReport::Measured(counted()),
        Job::Rollback(_) => StepReport::RolledBack(RollbackReport {
            nothing_to_do: false,
            statements: 1,
            took,
            schema_restored: Some(true),
            differences: Vec::new(),
            takes: Vec::new(),
            done: Vec::new(),
        }),
    }
}

/// Of the size that a usual one has.
fn inspection(database: &DatabaseName) -> Inspection {
    let table = TableInspection {
        table: "users".into(),
        exists: true,
        rows: 20_000,
        rows_counted: true,
        total_bytes: 5_300_000,
    };
    Inspection {
        server_version: "15.18 (Debian 15.18-0+deb12u1)".into(),
        server_version_num: 150_018,
        system_identifier: "7400000000000000000".into(),
        database: database.to_string(),
        database_bytes: 12_000_000,
        tables: vec![table],
        ..Inspection::default()
    }
}

fn counted() -> Metrics {
    Metrics {
        at: Timestamp::now(),
        since: None,
        since_of_server: false,
        tables: Vec::new(),
        statements: Vec::new(),
        statements_since: None,
        statements_note: None,
        connections: 1,
        deadlocks: 0,
        temp_bytes: 0,
    }
}

fn backup(database: &DatabaseName, took: Duration) -> BackupReport {
    BackupReport {
        path: format!("/var/lib/stopover-agent/backups/{database}/20260101T000000Z.dump"),
        bytes: 1_500_000,
        sha256: Digest::from_bytes([7; 32]),
        level: BackupLevel::Recorded,
        database_bytes: 12_000_000,
        took,
        restore_command: format!("pg_restore --dbname {database} 20260101T000000Z.dump"),
        id: None,
        encrypted: false,
        proof: None,
        only_tables: Vec::new(),
        whole_because: None,
        restore_point: None,
        command_output: None,
    }
}

fn verified<'a>(names: impl Iterator<Item = &'a str>, took: Duration) -> StepReport {
    let holds = |name: &str| CheckResult {
        name: name.to_owned(),
        passed: true,
        unanswered: false,
        expected: "0".into(),
        observed: "0".into(),
        note: None,
        took,
    };
    StepReport::Verified(VerifyReport { checks: names.map(holds).collect() })
}
