//! Rehearsal: what is to be applied runs on a copy of that very database first, as it would run there: up, verify, down,
//! and the schema and the rows compared with what they were, then up and verify again.
//!
//! The engine and the checks are those of the real run. What reaches beyond a database is told apart and left out. The
//! real database is never written to, and the copy is gone at the end, whatever that is.
//!
//! ```text
//! copy ─> its settings, ANALYZE ─> for each migration: up ─> verify ─> down ─> compare ─> up ─> verify ─> copy dropped
//! ```

mod copy;
mod outside;
mod pace;
mod relay;
mod rows;
mod script;
mod settings;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Arc;
use std::time::Instant;

use stopover_model::id::Attempt;
use stopover_model::migration::Migration;
use stopover_model::pipeline::{BackfillSettings, LockSettings};
use stopover_model::plan::Variant;
use stopover_model::report::{
    Effect, ErrorClass, Outcome, RehearsalReport, RehearsedMigration, StepError, StepReport,
};

use crate::fingerprint::{self, Fingerprint};
use crate::ledger;
use crate::migrate::Limits;
use crate::postgres::{Database, Purpose, QueryError, Session, SessionName};
use crate::step::StepContext;
use outside::Foreign;
use rows::KeptRows;
use verdict::Way;

pub use copy::run;

/// What to rehearse, and how.
#[derive(Debug, Clone)]
pub struct RehearseWork {
    /// In the order in which they are to be applied; their digests have been checked.
    pub migrations: Vec<(Migration, Variant)>,
    pub locks: LockSettings,
    pub backfill: BackfillSettings,
    /// What reaches beyond the database runs all the same.
    pub allow_cluster_effects: bool,
    /// Of the cluster that was inspected; empty: not checked.
    pub system_identifier: String,
    /// Of these tables alone the copy has the rows. Empty: of all.
    pub only_tables: Vec<String>,
    /// The attempt of the backup whose copy is used.
    pub backup_attempt: Attempt,
    pub limits: Limits,
}

impl RehearseWork {
    fn has_backfill(&self) -> bool {
        let scripts = self.migrations.iter().flat_map(|(migration, variant)| {
            std::iter::once(script::up(migration, *variant)).chain(&migration.down)
        });
        scripts.into_iter().any(|script| script.statements().iter().any(|s| script.backfill(s).is_some()))
    }
}

/// A copy of the database.
struct Copy {
    database: Arc<Database>,
    /// "the backup of this deployment".
    of: String,
    /// Scripts run there in a role that may do less than the agent's own.
    unprivileged: bool,
    /// It is on the server of the database itself.
    on_live_server: bool,
}

/// Rehearses on a copy. Gives what was found, and why it did not go through.
async fn on_copy(
    context: &StepContext,
    copy: Copy,
    work: &RehearseWork,
) -> (RehearsalReport, Result<(), StepError>) {
    let began = Instant::now();
    let copy_of = copy.of.clone();
    let mut report = RehearsalReport { copy_of, took: std::time::Duration::ZERO, migrations: Vec::new() };
    let ended = match Rehearsal::begin(context, copy, work).await {
        Ok(mut rehearsal) => {
            let ended = rehearsal.all(&mut report).await;
            rehearsal.session.close().await;
            ended
        }
        Err(error) => Err(error),
    };
    report.took = began.elapsed();
    (report, ended)
}

fn outcome(report: RehearsalReport, ended: Result<(), StepError>) -> Outcome {
    match ended {
        Ok(()) => Outcome::Succeeded { report: StepReport::Rehearsed(report) },
        // Whatever it left, it left in the copy.
        Err(error) => Outcome::Failed {
            error: error.with_effect(Effect::None),
            report: Some(StepReport::Rehearsed(report)),
        },
    }
}

struct Rehearsal<'a> {
    /// Who asked, and the real database.
    context: &'a StepContext,
    /// The same for the copy.
    inside: StepContext,
    work: &'a RehearseWork,
    /// As far as the stage's mean something on the copy.
    backfill: BackfillSettings,
    /// To the copy, for looks and comparisons.
    session: Session,
    /// How the copy's schema is now.
    schema: Arc<Fingerprint>,
    foreign: Foreign,
    /// The copy's role may do less than the agent's own.
    unprivileged: bool,
}

impl<'a> Rehearsal<'a> {
    async fn begin(context: &'a StepContext, copy: Copy, work: &'a RehearseWork) -> Result<Self, StepError> {
        let Copy { database, unprivileged, on_live_server, .. } = copy;
        settings::take_over(context, &database, &work.system_identifier).await?;
        let throttle = pace::throttle(context, on_live_server);
        // A copy is nobody's: its backfills go on at any time.
        let batches_until = tokio::sync::watch::channel(None).1;
        let inside = StepContext { database, throttle, batches_until, ..context.clone() };
        let session = inside.database.connect(&Purpose::writing(&SessionName::of(&inside))).await?;
        let looked = async {
            // A copy has no statistics, and without them no plan is the real one's.
            session.client().batch_execute("ANALYZE").await.map_err(|e| session.error(e))?;
            let about = (on_live_server, work.has_backfill());
            let backfill = pace::settings(context, &session, &work.backfill, about).await?;
            Ok((Foreign::of(&session).await?, Arc::new(fingerprint::take(&session).await?), backfill))
        };
        let (foreign, schema, backfill) =
            until_cancelled(context, &session, looked, "prepare the copy").await?;
        Ok(Self { context, inside, work, backfill, session, schema, foreign, unprivileged })
    }

    async fn all(&mut self, report: &mut RehearsalReport) -> Result<(), StepError> {
        if !self.work.only_tables.is_empty() {
            self.context.reporter.message(format!(
                "the copy has the rows of {} alone, as the backup has: checks that read others tell nothing",
                self.work.only_tables.join(", ")
            ));
        }
        let mut left_out: Option<String> = None;
        for (migration, variant) in &self.work.migrations {
            let mut rehearsed = RehearsedMigration::new(migration.id.clone(), *variant);
            rehearsed.not_run = self.why_not(migration, *variant, left_out.as_deref());
            let ended = match rehearsed.not_run {
                Some(_) => Ok(()),
                None => self.one(migration, *variant, &mut rehearsed).await,
            };
            if let Some(why) = &rehearsed.not_run {
                self.context.reporter.message(format!("{} is not rehearsed: {why}", migration.id));
                left_out.get_or_insert_with(|| migration.id.to_string());
            }
            report.migrations.push(rehearsed);
            ended?;
        }
        Ok(())
    }

    fn why_not(&self, migration: &Migration, variant: Variant, left_out: Option<&str>) -> Option<String> {
        if let Some(before) = left_out {
            return Some(format!("it may build on {before}, which was not rehearsed"));
        }
        let reason = self.foreign.reason(migration, variant)?;
        if self.work.allow_cluster_effects {
            self.context.reporter.message(format!("{reason}; it runs all the same, as is allowed"));
            return None;
        }
        Some(reason)
    }

    async fn one(
        &mut self,
        migration: &Migration,
        variant: Variant,
        rehearsed: &mut RehearsedMigration,
    ) -> Result<(), StepError> {
        let begun =
            !ledger::entries(self.session.client(), std::slice::from_ref(&migration.id)).await?.is_empty();
        let kept = match &migration.down {
            Some(down) if !begun => Some(self.keep_rows([script::up(migration, variant), down]).await?),
            _ => None,
        };
        rehearsed.notes.extend(script::unseen(migration, variant, self.unprivileged));
        let up = match self.run(migration, variant, Way::Up).await {
            Ok(up) => up,
            Err(error) => return self.failed(error, rehearsed),
        };
        rehearsed.up = Some(up.run);
        self.verify(migration, &migration.file_name(variant.file()), &mut rehearsed.checks).await?;
        if migration.down.is_none() {
            let note = "it has no way back, so that only the way there was rehearsed";
            rehearsed.notes.push(note.to_owned());
            return self.schema_is(up.schema).await;
        }
        match self.run(migration, variant, Way::Down).await {
            Ok(down) => rehearsed.down = Some(down.run),
            Err(error) => return self.failed(error, rehearsed),
        }
        self.compare(migration, kept, rehearsed).await?;
        let again = match self.run(migration, variant, Way::Again).await {
            Ok(again) => again,
            Err(error) => return self.failed(error, rehearsed),
        };
        rehearsed.again = Some(again.run);
        self.verify(migration, "the second time up", &mut rehearsed.checks).await?;
        self.schema_is(again.schema).await
    }

    /// What the next migration finds.
    async fn schema_is(&mut self, seen: Option<Arc<Fingerprint>>) -> Result<(), StepError> {
        self.schema = if let Some(schema) = seen {
            schema
        } else {
            let look = fingerprint::take(&self.session);
            Arc::new(until_cancelled(self.context, &self.session, look, "look at the copy's schema").await?)
        };
        Ok(())
    }

    /// What only the copy's role may not do is no fault of the script's: nobody knows then how it would have gone.
    fn failed(&self, error: StepError, rehearsed: &mut RehearsedMigration) -> Result<(), StepError> {
        if !self.unprivileged || error.sqlstate.as_deref() != Some("42501") {
            return Err(error);
        }
        rehearsed.not_run = Some(format!(
            "it needs more than the copy's role may do, which has no rights outside of the copy: {}",
            error.message
        ));
        (rehearsed.up, rehearsed.down, rehearsed.again) = (None, None, None);
        rehearsed.checks.clear();
        Ok(())
    }

    async fn keep_rows(
        &self,
        scripts: [&stopover_model::migration::Script; 2],
    ) -> Result<KeptRows, StepError> {
        let keep = KeptRows::of(&self.session, scripts.into_iter());
        until_cancelled(self.context, &self.session, keep, "read the rows of the copy").await
    }

    /// Compares schema and rows behind the way back with what they were before the way there.
    async fn compare(
        &mut self,
        migration: &Migration,
        kept: Option<KeptRows>,
        rehearsed: &mut RehearsedMigration,
    ) -> Result<(), StepError> {
        let Some(kept) = kept else {
            let note = "it was begun before the copy was made, so that nothing can be compared with what was before it";
            rehearsed.notes.push(note.to_owned());
            return Ok(());
        };
        let looked = async {
            let schema = fingerprint::take(&self.session).await?;
            Ok((schema, kept.compare(&self.session).await?))
        };
        let (after, rows) =
            until_cancelled(self.context, &self.session, looked, "compare the copy with what it was").await?;
        rehearsed.tables_compared = rows.tables;
        rehearsed.changed_rows = rows.changed;
        rehearsed.notes.extend(rows.notes);
        for changed in &rehearsed.changed_rows {
            let down = migration.file_name("down.sql");
            self.context.reporter.message(format!("{down} does not bring all rows back: {changed}"));
        }
        rehearsed.differences = crate::drift::between(&self.schema, &after);
        rehearsed.schema_restored = Some(rehearsed.differences.is_empty());
        if rehearsed.differences.is_empty() {
            return Ok(());
        }
        Err(verdict::not_restored(migration, &rehearsed.differences))
    }
}

/// Work of the rehearsal's own on the copy, ended at once when the step is cancelled.
async fn until_cancelled<T>(
    context: &StepContext,
    session: &Session,
    work: impl Future<Output = Result<T, QueryError>>,
    doing: &str,
) -> Result<T, StepError> {
    tokio::select! {
        done = work => done.map_err(|e| e.into_step_error(doing)),
        () = context.cancel.cancelled() => {
            session.cancel().await;
            Err(StepError::new(ErrorClass::Cancelled, "the rehearsal was cancelled"))
        }
    }
}
