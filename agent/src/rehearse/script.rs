//! One script on the copy, watched, and the migration's checks behind it.

use std::sync::Arc;
use std::time::Duration;

use stopover_model::duration::human;
use stopover_model::migration::{Migration, Script};
use stopover_model::pipeline::SaveSettings;
use stopover_model::plan::{Variant, grouped};
use stopover_model::report::{CheckResult, ErrorClass, Outcome, RehearsedRun, StepError, StepReport};
use stopover_model::sql::StatementKind;

use super::relay::Relay;
use super::verdict::Way;
use super::{Rehearsal, verdict};
use crate::fingerprint::Fingerprint;
use crate::migrate::{Engine, Job, MigrateWork, Parking, Witness};
use crate::step::{Reporter, StepContext};
use crate::verify::{self, VerifyRequest};

/// What came of it.
pub(super) struct Ran {
    pub(super) run: RehearsedRun,
    /// The schema behind it, where the engine has seen it.
    pub(super) schema: Option<Arc<Fingerprint>>,
}

/// What is dropped is saved on the copy too, which nobody waits for.
const SAVING: SaveSettings = SaveSettings { save: true, within: Duration::from_hours(24), keep_for: None };

/// The script that is to be applied.
pub(super) fn up(migration: &Migration, variant: Variant) -> &Script {
    match (variant, &migration.batch) {
        (Variant::Batched, Some(batch)) => batch,
        _ => &migration.up,
    }
}

impl Rehearsal<'_> {
    /// Runs a script as the real run would. An error says what is wrong with it.
    pub(super) async fn run(
        &self,
        migration: &Migration,
        variant: Variant,
        way: Way,
    ) -> Result<Ran, StepError> {
        let work = MigrateWork {
            migration: migration.clone(),
            variant,
            locks: self.work.locks,
            backfill: self.backfill.clone(),
            saving: SAVING,
            restore_saved: None,
            system_identifier: None,
            resolution: None,
            limits: self.work.limits,
            parking: Parking::default(),
            only_look: false,
            begin_by: None,
        };
        let job = match (way, &migration.down) {
            (Way::Down, Some(down)) => {
                let mut job = Job::down(migration, down, work.locks, work.saving, None, work.limits);
                job.backfill = work.backfill.clone();
                job
            }
            _ => Job::up(&work)?,
        };
        let file = match way {
            Way::Down => migration.file_name("down.sql"),
            Way::Up => migration.file_name(variant.file()),
            Way::Again => format!("{} again", migration.file_name(variant.file())),
        };
        let ended = self.watched(job, &file).await;
        let ran = ended.map_err(|error| verdict::script_failed(way, error))?;
        self.context.reporter.message(format!("{file} ran on the copy: {}", words(&ran.run)));
        Ok(ran)
    }

    async fn watched(&self, job: Job<'_>, file: &str) -> Result<Ran, StepError> {
        let inside = StepContext { reporter: Reporter::new(), ..self.inside.clone() };
        let witness = Witness::of(&inside).await?;
        let relay = Relay {
            inner: &inside.reporter,
            outer: &self.context.reporter,
            script: file.to_owned(),
            statements: job.count(),
        };
        let before = witness.wal().await.ok();
        let (mut passed, mut job) = (0, job);
        job.witness = Some(&witness);
        let ended = {
            let engine = Box::pin(Engine::new(&inside, job).run());
            tokio::select! {
                ended = engine => ended,
                never = witness.watch() => match never {},
                never = relay.run(&mut passed) => match never {},
            }
        };
        relay.flush(&mut passed);
        let after = witness.wal().await.ok();
        let seen = witness.close().await;
        let done = ended.map_err(error_of)?;
        if done.already {
            let message = format!("the copy's ledger says that there is nothing to do for {file}");
            return Err(StepError::new(ErrorClass::Internal, message));
        }
        let wal = before.zip(after).map(|(before, after)| after - before).unwrap_or_default();
        let run = RehearsedRun {
            took: done.tally.took(),
            rows: done.tally.rows,
            wal_bytes: u64::try_from(wal).unwrap_or_default(),
            statements: seen.statements,
            locks: seen.locks,
        };
        Ok(Ran { run, schema: done.after })
    }

    /// The migration's own checks, as the real run would ask them. A check that does not hold is an error.
    pub(super) async fn verify(
        &self,
        migration: &Migration,
        behind: &str,
        results: &mut Vec<CheckResult>,
    ) -> Result<(), StepError> {
        if migration.manifest.verify.is_empty() {
            return Ok(());
        }
        let request = VerifyRequest {
            checks: migration.manifest.verify.clone(),
            system_identifier: String::new(),
            statement_timeout: VerifyRequest::DEFAULT_TIMEOUT,
        };
        // What each check found is in the report.
        let inside = StepContext { reporter: Reporter::new(), ..self.inside.clone() };
        match verify::run(&inside, &request).await {
            Outcome::Succeeded { report: StepReport::Verified(report) } => {
                *results = report.checks;
                Ok(())
            }
            Outcome::Failed { error, report } => {
                if let Some(StepReport::Verified(report)) = report {
                    *results = report.checks;
                }
                Err(verdict::check_failed(behind, error))
            }
            _ => Err(StepError::new(ErrorClass::Internal, "a verification ended as none can")),
        }
    }
}

fn error_of(outcome: Outcome) -> StepError {
    match outcome {
        Outcome::Failed { error, .. } | Outcome::Unknown { error } => error,
        Outcome::NotBegun { why } => StepError::new(ErrorClass::Internal, why),
        Outcome::Succeeded { .. } => StepError::new(ErrorClass::Internal, "a success came as a failure"),
    }
}

/// "5 statements in 1.2 s, 300,000 rows, 45 MB written, ACCESS EXCLUSIVE on public.users for 1.1 s".
fn words(run: &RehearsedRun) -> String {
    let mut text = format!("{} statements in {}", run.statements.len(), human(run.took));
    if run.rows > 0 {
        text = format!("{text}, {} rows", grouped(run.rows));
    }
    if run.wal_bytes > 0 {
        text = format!("{text}, {} kB of the server's log", grouped(run.wal_bytes.div_ceil(1024)));
    }
    if let Some(lock) = run.worst_lock() {
        text = format!("{text}, {} on {} for {}", lock.mode, lock.relation, human(lock.held));
    }
    text
}

/// What can't be looked into beforehand.
pub(super) fn unseen(migration: &Migration, variant: Variant, unprivileged: bool) -> Option<String> {
    let statements = up(migration, variant).statements();
    let opaque = |kind: StatementKind| matches!(kind, StatementKind::Do { .. } | StatementKind::Call { .. });
    let lines: Vec<String> =
        statements.iter().filter(|s| opaque(s.kind())).map(|s| s.line.to_string()).collect();
    if lines.is_empty() {
        return None;
    }
    let role = if unprivileged { ", in a role that has no rights outside of the copy" } else { "" };
    Some(format!(
        "what the blocks and procedures at line {} do can't be seen beforehand: they ran{role}",
        lines.join(", ")
    ))
}
