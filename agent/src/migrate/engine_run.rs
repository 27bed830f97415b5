//! From one session to the next until the ledger says what became of the script.

use std::sync::Arc;
use std::time::Duration;

use stopover_model::id::Attempt;
use stopover_model::report::{Effect, ErrorClass, Outcome, StepError};
use tokio::time::{Instant, sleep};

use super::Job;
use super::engine::{Engine, Observed};
use super::parked::{Left, close, flushed};
use super::stop::Stop;
use super::writes::write;
use super::{company, keep, put_back, stepwise, whole};
use crate::fingerprint::{self, Fingerprint, Reach, changes};
use crate::ledger::exclusion::{Patience, take_lock};
use crate::ledger::{self, Direction, MigrationRow, MigrationState, RolledBack};
use crate::postgres::{Purpose, Session, SessionName};
use crate::saved;

/// How often one call begins anew after a lost connection.
const MOST_SESSIONS: u32 = 4;
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);
/// For so long a session counts as alone in the database, through all migrations that follow one another on it.
const ALONE_FOR: Duration = Duration::from_millis(100);

/// What the ledger said at the end.
pub(super) struct Found {
    pub(super) already: bool,
    pub(super) row: Option<MigrationRow>,
    pub(super) rolled_back: Option<RolledBack>,
    pub(super) after: Option<Arc<Fingerprint>>,
}

/// Why the last session ended.
struct Loss {
    why: String,
    in_doubt: bool,
}

impl Engine<'_> {
    pub(super) async fn until_known(&mut self) -> Result<Found, Outcome> {
        let mut loss: Option<Loss> = None;
        for _ in 0..MOST_SESSIONS {
            let warm = if loss.is_none() { self.take_over().await } else { None };
            self.warm = warm.is_some();
            let session = match warm {
                Some(session) => session,
                None => self.connect(loss.as_ref()).await?,
            };
            match self.on_session(&session, &mut loss).await {
                Ok(found) => {
                    self.leave(session, &found).await;
                    return Ok(found);
                }
                Err(Stop::Ended(outcome)) => {
                    close(session).await;
                    return Err(self.with_doubt(*outcome, loss.as_ref()));
                }
                Err(Stop::LookAgain { why, .. }) if session.unflushed().count() > 0 => {
                    session.abandon();
                    return Err(lost_with_others(&self.job, &why));
                }
                Err(Stop::LookAgain { why, in_doubt }) => {
                    // It may hang in a COMMIT for ever; its server process is dealt with from the next session.
                    session.abandon();
                    self.observer.renew();
                    self.forget_session();
                    self.context.reporter.message(format!("{why}; connects anew and looks at the ledger"));
                    let in_doubt = in_doubt || loss.as_ref().is_some_and(|loss| loss.in_doubt);
                    loss = Some(Loss { why, in_doubt });
                }
            }
        }
        let why = loss.as_ref().map_or("the connection was lost", |loss| loss.why.as_str());
        let message = format!("{} did not get through in {MOST_SESSIONS} sessions: {why}", self.job.file);
        let error = StepError::new(ErrorClass::Transient, message)
            .with_hint("see why the database ends its sessions: its log says")
            .with_effect(self.effect);
        Err(self.with_doubt(Outcome::Failed { error, report: None }, loss.as_ref()))
    }

    /// The session of the deployment's migration before, where this one is a first attempt on the same cluster and needs
    /// nothing but one transaction. After anything else only a new session will do.
    async fn take_over(&mut self) -> Option<Session> {
        let warm = self.job.parking?.take(&SessionName::of(self.context)).await?;
        let found = warm.session.identity().system_identifier.as_deref();
        let fits = self.context.attempt == Attempt(1)
            && self.job.resolution.is_none()
            && self.job.one_transaction
            // Its fence is held at the end only, so it is taken before the beginning.
            && !self.job.modes.one_snapshot()
            && self.job.system_identifier.is_none_or(|expected| found == Some(expected));
        if !fits {
            close(warm.session).await;
            return None;
        }
        (self.before, self.alone) = (warm.schema, warm.alone);
        self.warm = true;
        if warm.session.unflushed().count() > 0 && !self.goes_at_once() && !flushed(&warm.session).await {
            (self.before, self.alone) = (None, None);
            close(warm.session).await;
            return None;
        }
        Some(warm.session)
    }

    /// What was seen through a session that is lost. The schema that came with one that was taken over is from before the
    /// loss, and whoever ended the session may have changed it since.
    fn forget_session(&mut self) {
        (self.observed, self.company, self.alone, self.renewed) = (None, None, None, None);
        if self.warm {
            (self.before, self.seen) = (None, None);
        }
    }

    /// Leaves the session to the next migration, or closes it.
    async fn leave(&self, session: Session, found: &Found) {
        let keeps = self.ran && self.job.one_transaction && self.renewed != Some(false);
        let Some(parking) = self.job.parking.filter(|_| keeps) else { return close(session).await };
        let left = Left {
            schema: found.after.clone(),
            alone: self.alone,
            // Of these kinds of statements none prepares anything.
            prepared: self.reach != Reach::Anything,
            renewed: self.renewed == Some(true),
        };
        parking.park(&SessionName::of(self.context), session, left).await;
    }

    /// Opens the working session; after a loss it goes on trying for a while, since a server may be starting again.
    async fn connect(&self, loss: Option<&Loss>) -> Result<Session, Outcome> {
        let purpose =
            Purpose::writing(&SessionName::of(self.context)).expecting_system(self.job.system_identifier);
        let began = Instant::now();
        let mut pause = RECONNECT_PAUSE;
        loop {
            if self.context.cancel.is_cancelled() {
                let error =
                    StepError::new(ErrorClass::Cancelled, "the step was cancelled").with_effect(self.effect);
                return Err(self.with_doubt(Outcome::Failed { error, report: None }, loss));
            }
            let error = match self.context.database.connect(&purpose).await {
                Ok(session) => return Ok(session),
                Err(error) => StepError::from(error).with_effect(self.effect),
            };
            let again = loss.is_some()
                && error.class == ErrorClass::Transient
                && began.elapsed() + pause < self.job.limits.reconnect;
            if !again {
                return Err(self.with_doubt(Outcome::Failed { error, report: None }, loss));
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.context.cancel.cancelled() => {}
            }
            pause = (pause * 2).min(Duration::from_secs(3));
        }
    }

    /// An end that nobody has seen makes a failure an UNKNOWN outcome.
    fn with_doubt(&self, outcome: Outcome, loss: Option<&Loss>) -> Outcome {
        match (outcome, loss) {
            (Outcome::Failed { mut error, .. }, Some(loss)) if loss.in_doubt => {
                error.message = format!(
                    "whether {} took effect is not known yet: {}; then: {}",
                    self.job.file, loss.why, error.message
                );
                error.class = ErrorClass::Transient;
                error.effect = Effect::Possible;
                Outcome::Unknown { error }
            }
            (outcome, _) => outcome,
        }
    }

    async fn exclude_others(&self, session: &Session) -> Result<(), Stop> {
        let (orphan, stranger) = (self.job.limits.orphan_grace, self.job.locks.lock_retry_for);
        Ok(take_lock(session, self.context, Patience { orphan, stranger }).await?)
    }

    /// After DISCARD ALL, which lets the lock go as well. What came in between wrote only under the fence.
    pub(super) async fn begin_session_anew(&self, session: &Session) -> Result<(), Stop> {
        let made = session.make_settings(&Purpose::writing(&SessionName::of(self.context))).await;
        made.map_err(|e| Stop::query(e, "make the session's settings anew"))?;
        self.exclude_others(session).await
    }

    async fn on_session(&mut self, session: &Session, loss: &mut Option<Loss>) -> Result<Found, Stop> {
        if self.goes_at_once() {
            // What the ledger says is asked together with the script's first statement.
            return self.up(session, None).await;
        }
        if !self.warm {
            self.exclude_others(session).await?;
            self.answered("make the ledger", async { ledger::ensure(session).await.map_err(Stop::failed) })
                .await?;
        }
        let row = ledger::migration(session, &self.job.migration.id);
        let row = if self.warm {
            // Whoever waits for the lock must see whose the session is from here on.
            let rename = format!("SET application_name = '{}'", SessionName::of(self.context));
            let rename = session.client().batch_execute(&rename);
            let (renamed, row, company) = tokio::join!(rename, row, company::look(session, &self.job.locks));
            renamed.map_err(|e| Stop::query(session.error(e), "name the session"))?;
            self.company = Some(company?);
            row
        } else {
            row.await
        };
        let row = row.map_err(|e| Stop::query(e, "read the ledger"))?;
        // The orphans are gone and the ledger is read: what it says now is true.
        *loss = None;
        let found = match self.job.direction {
            Direction::Up => self.up(session, row).await?,
            Direction::Down => self.down(session, row).await?,
        };
        Ok(found)
    }

    async fn up(&mut self, session: &Session, row: Option<MigrationRow>) -> Result<Found, Stop> {
        let former = row.as_ref().filter(|row| self.runs_again(row)).map(|row| row.digest);
        let row = row.filter(|_| former.is_none());
        self.replaces = former;
        if let Some(row) = &row {
            self.check_digest(row)?;
            match row.state {
                MigrationState::Applied => {
                    self.remember_unseen(session, Some(row)).await;
                    self.go_on_putting_back(session, row).await?;
                    return Ok(self.applied(session, row.clone()).await);
                }
                MigrationState::Running if row.variant != self.job.variant => {
                    return Err(self.other_variant(row));
                }
                MigrationState::Running => {}
                MigrationState::Reverting => return Err(self.half_rolled_back()),
            }
        }
        if self.job.only_look {
            let why = format!("the ledger does not show {}", self.job.file);
            return Err(Stop::Ended(Box::new(Outcome::NotBegun { why })));
        }
        self.row = row;
        if !self.warm {
            self.take_fence(session).await?;
        }
        self.alone(session).await?;
        if self.row.is_none() && self.before.is_none() {
            self.before = self.first_look(session).await?;
        }
        if self.row.is_none() {
            self.in_time()?;
        }
        self.ran = true;
        self.run_script(session).await?;
        let observed = self.observe(session).await?;
        self.purge_what_is_old(session).await;
        match observed {
            Some(row) if row.state == MigrationState::Applied && row.run == self.author.run.as_str() => {
                put_back::behind(self, session).await?;
                Ok(self.applied(session, row).await)
            }
            _ => Err(self.not_observed()),
        }
    }

    /// Whether a script of which nothing has taken effect may still begin.
    pub(super) fn in_time(&self) -> Result<(), Stop> {
        if self.job.begin_by.is_none_or(|by| Instant::now() <= by) {
            return Ok(());
        }
        let why = "too little is left of the stage's window".to_owned();
        Err(Stop::Ended(Box::new(Outcome::NotBegun { why })))
    }

    async fn down(&mut self, session: &Session, row: Option<MigrationRow>) -> Result<Found, Stop> {
        let Some(row) = row else {
            let done = ledger::rolled_back_by(session, &self.job.migration.id, &self.author).await;
            let rolled_back = done.map_err(|e| Stop::query(e, "read the ledger's history"))?;
            self.remember_unseen(session, None).await;
            let after = if rolled_back.is_some() { self.look(session).await } else { None };
            return Ok(Found { already: rolled_back.is_none(), row: None, rolled_back, after });
        };
        self.check_digest(&row)?;
        self.row = Some(row.clone());
        self.take_fence(session).await?;
        self.alone(session).await?;
        if self.before.is_none() {
            self.before = self.first_look(session).await?;
        }
        self.changes = row
            .changes
            .clone()
            .or_else(|| Some(changes(row.objects_before.as_ref()?, &self.before.as_ref()?.objects)));
        self.ran = true;
        self.run_script(session).await?;
        if self.observe(session).await?.is_some() {
            return Err(self.not_observed());
        }
        self.purge_what_is_old(session).await;
        let after = self.look(session).await;
        if let Some(after) = &after {
            let before = self.before.as_ref();
            let changed = before.map(|before| changes(&before.objects, &after.objects));
            self.remember_after(session, before.map(|b| b.digest), after, changed.as_ref()).await;
        }
        Ok(Found { already: false, row: Some(row), rolled_back: None, after })
    }

    /// An earlier attempt of this deployment may have been stopped behind its COMMIT.
    async fn go_on_putting_back(&self, session: &Session, row: &MigrationRow) -> Result<(), Stop> {
        let ours = row.deployment == self.author.deployment.as_str();
        if !ours || self.job.only_look || self.job.restore_saved.is_none() {
            return Ok(());
        }
        self.take_fence(session).await?;
        put_back::behind(self, session).await
    }

    /// What was saved longer ago than the stage keeps it. The script is through, whatever becomes of this.
    async fn purge_what_is_old(&self, session: &Session) {
        if self.job.steps.iter().any(keep::keeps) {
            // A copy that was made ahead of a drop that never came.
            let dropped = saved::ahead::drop_others(session, &[]);
            let _ = write(self, session, "drop a copy that nobody needs", dropped).await;
        }
        let Some(keep_for) = self.job.saving.keep_for else { return };
        let by = format!("deployment {}", self.context.deployment);
        match saved::purge_older(session, keep_for, &by).await {
            Ok(purged) => purged.into_iter().for_each(|text| self.context.reporter.message(text)),
            Err(error) => {
                let message = format!("what was saved long ago could not be purged: {}", error.message);
                self.context.reporter.message(message);
            }
        }
    }

    /// What the ledger says behind the script.
    async fn observe(&mut self, session: &Session) -> Result<Option<MigrationRow>, Stop> {
        match self.observed.take() {
            Some(Observed(row)) => Ok(row),
            None => self.look_behind(session).await,
        }
    }

    /// The same, asked in the agent's own role and with its own settings.
    pub(super) async fn look_behind(&self, session: &Session) -> Result<Option<MigrationRow>, Stop> {
        let (reset, row) = tokio::join!(reset(session), ledger::migration(session, &self.job.migration.id));
        reset?;
        row.map_err(|e| Stop::query(e, "look whether the migration is in the ledger"))
    }

    /// Waits until nobody is there beside whom the script should not begin.
    async fn alone(&mut self, session: &Session) -> Result<(), Stop> {
        if !self.warm && self.job.witness.is_none() {
            company::say_what_is_hidden(self.context, session).await?;
        }
        let begun = match &self.row {
            Some(row) if row.state != MigrationState::Applied => {
                let rows = ledger::statements(session, &self.job.migration.id, self.job.direction).await;
                rows.map_err(|e| Stop::query(e, "read the ledger"))?.values().any(|row| row.done)
            }
            _ => false,
        };
        let effect = if begun { Effect::Partial } else { Effect::None };
        if self.alone.is_some_and(|at| at.elapsed() < ALONE_FOR) {
            return Ok(());
        }
        let seen = self.company.take();
        company::wait(self.context, &self.job.locks, session, &self.job.file, effect, seen).await?;
        self.alone = Some(Instant::now());
        Ok(())
    }

    async fn run_script(&mut self, session: &Session) -> Result<(), Stop> {
        if self.job.one_transaction {
            whole::run(self, session).await?;
        } else {
            stepwise::run(self, session).await?;
        }
        Ok(())
    }

    /// It is in the ledger. What this call applied gets its fingerprint.
    async fn applied(&mut self, session: &Session, row: MigrationRow) -> Found {
        let ours = self.ran && row.run == self.author.run.as_str();
        let mut after = None;
        if ours {
            after = self.schema_after();
        }
        if ours && after.is_none() {
            after = self.look(session).await;
            if let Some(after) = &after {
                let changes = row.objects_before.as_ref().map(|before| changes(before, &after.objects));
                let id = &self.job.migration.id;
                let before = row.fingerprint_before;
                let settled =
                    ledger::settle(session, &self.author, id, before, after, changes.as_ref()).await;
                if let Err(error) = settled {
                    self.context
                        .reporter
                        .message(format!("the schema's fingerprint could not be written: {error}"));
                }
            }
        }
        Found { already: !ours, row: Some(row), rolled_back: None, after }
    }

    async fn take_fence(&self, session: &Session) -> Result<(), Stop> {
        let taken = async {
            ledger::take_fence(session, &self.author)
                .await
                .map_err(|e| Stop::query(e, "take the fence in the ledger"))
        };
        if self.answered("take the fence in the ledger", taken).await? {
            return Ok(());
        }
        Err(Stop::fenced("a newer attempt", self.effect))
    }

    /// A write that commits may wait for ever for a standby.
    async fn answered<T>(&self, doing: &str, work: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
        tokio::time::timeout(self.job.limits.commit_deadline, work).await.unwrap_or_else(|_| {
            let why = format!("{doing}: the database gave no answer; is a synchronous standby gone?");
            Err(Stop::LookAgain { why, in_doubt: false })
        })
    }

    /// The schema is looked at for the report and for a later rollback: where that fails the work goes on.
    pub(super) async fn look(&self, session: &Session) -> Option<Arc<Fingerprint>> {
        match fingerprint::take(session).await {
            Ok(fingerprint) => Some(Arc::new(fingerprint)),
            Err(error) => {
                self.context.reporter.message(format!("the schema could not be looked at: {error}"));
                None
            }
        }
    }

    /// Whether other content of a repeatable script has run.
    fn runs_again(&self, row: &MigrationRow) -> bool {
        let migration = &self.job.migration;
        migration.manifest.is_repeatable()
            && row.state == MigrationState::Applied
            && row.digest != migration.digest
    }

    fn check_digest(&self, row: &MigrationRow) -> Result<(), Stop> {
        let migration = &self.job.migration;
        if row.digest == migration.digest {
            return Ok(());
        }
        let message = format!(
            "{} is in the database's ledger with other content: {} there, {} here (by deployment {})",
            migration.id,
            row.digest.short(),
            migration.digest.short(),
            row.deployment
        );
        Err(Stop::failed(StepError::new(ErrorClass::Drift, message).with_hint(
            "a migration that was applied is never edited: restore its files, and put the change into a new migration",
        )))
    }

    fn other_variant(&self, row: &MigrationRow) -> Stop {
        let (begun, now) = (row.variant.file(), self.job.variant.file());
        let message =
            format!("{} was begun with {begun}, so it can't go on with {now}", self.job.migration.id);
        let error = StepError::new(ErrorClass::Drift, message).with_effect(Effect::Partial);
        Stop::failed(error.with_hint("plan and deploy anew: the plan then keeps the variant that was begun"))
    }

    fn half_rolled_back(&self) -> Stop {
        let message = format!("the rollback of {} was begun and has not ended", self.job.migration.id);
        let error = StepError::new(ErrorClass::Setup, message).with_effect(Effect::Partial);
        Stop::failed(
            error.with_hint("let the rollback end first: `stopover rollback` goes on where it stopped"),
        )
    }

    /// No error came, and the ledger does not say what it should.
    fn not_observed(&self) -> Stop {
        let message = format!("{} ended without an error, and the ledger does not show it", self.job.file);
        let error = StepError::new(ErrorClass::Internal, message).with_effect(Effect::Possible);
        Stop::unknown(error.with_hint("look at stopover.migration and stopover.history in the database"))
    }
}

/// Those before it, on the same session, have committed what may not be on the server's disk. Whether it is comes first: they
/// are asked for again in their order.
fn lost_with_others(job: &Job<'_>, why: &str) -> Outcome {
    let message = format!(
        "the connection was lost before it was known what {} and those before it have left: {why}",
        job.file
    );
    let error = StepError::new(ErrorClass::Transient, message).with_effect(Effect::Possible);
    Outcome::Unknown {
        error: error.with_hint("nothing is to be done: the next try looks at the ledger first"),
    }
}

/// What the script has set for its session must not reach what comes now.
async fn reset(session: &Session) -> Result<(), Stop> {
    let reset = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET search_path; SET statement_timeout = 0; \
                 SET lock_timeout = '5s'";
    session
        .client()
        .batch_execute(reset)
        .await
        .map_err(|e| Stop::query(session.error(e), "reset the session"))
}
