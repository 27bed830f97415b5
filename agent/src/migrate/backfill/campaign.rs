//! One backfill under way: what its workers share.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stopover_model::backfill::{Batchable, Directive, Throttle};
use stopover_model::report::{Effect, ErrorClass, StepError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::batch::Sessions;
use super::key::Walk;
use super::meter::Meter;
use super::weather::{self, Weather};
use super::worker::{self, Lanes};
use super::{MOST_PASSES, statement_key, vacuum, write};
use crate::ledger::{self, BackfillRange, StatementKey};
use crate::migrate::Engine;
use crate::migrate::job::ScriptStep;
use crate::migrate::place::statement_error;
use crate::migrate::stop::Stop;
use crate::postgres::{DatabaseError, Purpose, QueryError, Session, SessionName};

pub(in crate::migrate) struct Campaign<'e, 'j> {
    pub(super) engine: &'e Engine<'j>,
    pub(super) step: &'e ScriptStep<'e>,
    pub(super) directive: &'e Directive,
    pub(super) batchable: Batchable<'e>,
    pub(super) walk: Walk,
    pub(super) meter: Meter,
    /// One worker's failure stops the others behind their batch.
    stop: CancellationToken,
    doing: String,
    /// What the live database says, since the first look at it.
    weather: watch::Sender<Option<Weather>>,
    /// The server processes that run batches.
    working: Mutex<Vec<i32>>,
}

impl<'e, 'j> Campaign<'e, 'j> {
    pub(super) fn new(
        engine: &'e Engine<'j>,
        step: &'e ScriptStep<'e>,
        directive: &'e Directive,
        batchable: Batchable<'e>,
        walk: Walk,
        ranges: &[BackfillRange],
    ) -> Self {
        Self {
            engine,
            step,
            directive,
            doing: format!("backfill of {}", batchable.target),
            batchable,
            walk,
            meter: Meter::new(ranges),
            stop: engine.context.cancel.child_token(),
            weather: watch::Sender::new(None),
            working: Mutex::default(),
        }
    }

    /// Works through all ranges, with an eye on the live database all the time, and keeps the table in shape.
    pub(super) async fn run(
        &self,
        session: &Session,
        scouts: &[Session],
        ranges: Vec<BackfillRange>,
    ) -> Result<(), Stop> {
        let over = CancellationToken::new();
        let walk = async {
            let _over = over.clone().drop_guard();
            self.walk(session, scouts, ranges).await
        };
        let both = async { tokio::join!(walk, Box::pin(vacuum::keep_small(self, &over))).0 };
        tokio::select! {
            ended = both => ended,
            never = weather::watch(self) => match never {},
        }
    }

    /// Works through all ranges, and looks behind the batches at the end.
    async fn walk(
        &self,
        session: &Session,
        scouts: &[Session],
        mut ranges: Vec<BackfillRange>,
    ) -> Result<(), Stop> {
        while !ranges.is_empty() {
            self.report();
            self.work(session, scouts, &ranges).await?;
            if self.engine.context.cancel.is_cancelled() {
                return Err(Stop::cancelled(Effect::None));
            }
            let pass = ranges.iter().map(|range| range.pass).max().unwrap_or(1);
            if !self.anything_left(session, &ranges).await? {
                return Ok(());
            }
            if pass >= MOST_PASSES {
                return Err(Stop::failed(self.never_ends()));
            }
            self.engine
                .context
                .reporter
                .message("rows came behind the batches; walks over the table once more");
            let next = ledger::next_backfill_pass(session, self.statement());
            write(self.engine, session, "begin another pass of the backfill", next).await?;
            let read = ledger::backfill_ranges(session, self.statement()).await;
            ranges = read.map_err(|e| Stop::query(e, "read the backfill's place in the ledger"))?;
        }
        Ok(())
    }

    async fn work(
        &self,
        session: &Session,
        scouts: &[Session],
        ranges: &[BackfillRange],
    ) -> Result<(), Stop> {
        // The lanes of a range go together.
        let open = ranges.chunk_by(|one, next| one.through == next.through).map(<[_]>::to_vec);
        let open: Vec<Lanes> = open.filter(|lanes| lanes.iter().any(|lane| !lane.done)).collect();
        let mut others = Vec::new();
        for _ in 1..open.len().min(scouts.len()) {
            others.push(self.another_session().await?);
        }
        self.working().extend(std::iter::once(session).chain(&others).map(|session| session.identity().pid));
        let queue = Mutex::new(open.into_iter().rev().collect::<Vec<_>>());
        let working = std::iter::once(session).chain(&others);
        let workers = working.zip(scouts).map(|(working, scout)| async {
            let sessions = Sessions { working, scout };
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(lanes) = next.filter(|_| !self.is_stopping()) else { return Ok(()) };
                if let Err(stop) = worker::work(self, sessions, lanes).await {
                    self.stop.cancel();
                    return Err(stop);
                }
            }
        });
        let ends = futures::future::join_all(workers).await;
        self.working().clear();
        for other in others {
            other.close().await;
        }
        // The first failure counts: the others were only stopped by it.
        let mut failures = ends.into_iter().filter_map(Result::err);
        let first = failures.next();
        match failures.find(|stop| !stop.is_cancelled()) {
            Some(real) if first.as_ref().is_some_and(Stop::is_cancelled) => Err(real),
            _ => first.map_or(Ok(()), Err),
        }
    }

    /// A session for another worker, with what the script has set before.
    async fn another_session(&self) -> Result<Session, Stop> {
        let job = &self.engine.job;
        let purpose =
            Purpose::writing(&SessionName::of(self.engine.context)).expecting_system(job.system_identifier);
        let session =
            self.engine.context.database.connect(&purpose).await.map_err(|e| Stop::failed(e.into()))?;
        for setting in &self.engine.settings {
            let set = session.client().batch_execute(setting).await;
            set.map_err(|e| Stop::query(session.error(e), "make the script's settings in another session"))?;
        }
        Ok(session)
    }

    /// Whether rows up to the bound still meet a condition that the statement makes false.
    async fn anything_left(&self, session: &Session, ranges: &[BackfillRange]) -> Result<bool, Stop> {
        let Some(bound) = ranges.last().map(|range| &range.through) else { return Ok(false) };
        let Some(sql) = self.walk.remaining_sql(&self.batchable, bound) else { return Ok(false) };
        let left = session.client().simple_query(&sql).await;
        let left = left.map_err(|e| Stop::query(session.error(e), "look for rows behind the batches"))?;
        Ok(left.iter().any(|message| matches!(message, tokio_postgres::SimpleQueryMessage::Row(_))))
    }

    fn never_ends(&self) -> StepError {
        let message = format!(
            "after {MOST_PASSES} walks over {} there are still rows that meet the condition of {}",
            self.batchable.table,
            self.step.name()
        );
        StepError::new(ErrorClass::Check, message).with_effect(Effect::Partial).with_hint(
            "something writes such rows all the time: set the column's default first, or stop what writes them; then resume",
        )
    }

    pub(super) fn statement(&self) -> StatementKey<'_> {
        statement_key(self.engine, self.step)
    }

    /// The speed that counts now.
    pub(super) fn throttle(&self) -> Throttle {
        let live = self.engine.context.throttle.borrow().clone();
        live.or(&Throttle::from(self.directive)).or(&self.engine.job.backfill.throttle)
    }

    /// The window has ended in which batches may begin.
    pub(super) fn is_past_its_window(&self) -> bool {
        self.engine.context.batches_until.borrow().is_some_and(|until| until <= Instant::now())
    }

    /// Waits for as long as no batch may begin; false when it is over.
    pub(super) async fn may_begin(&self) -> bool {
        let (mut wishes, mut weather) = (self.engine.context.throttle.clone(), self.weather.subscribe());
        let mut window = self.engine.context.batches_until.clone();
        loop {
            if self.is_stopping() {
                return false;
            }
            let fair = weather.borrow_and_update().as_ref().is_some_and(Weather::is_fair);
            wishes.mark_unchanged();
            window.mark_unchanged();
            if fair && !self.throttle().paused && !self.is_past_its_window() {
                return true;
            }
            tokio::select! {
                changed = wishes.changed() => if changed.is_err() { sleep(Duration::from_secs(1)).await },
                changed = window.changed() => if changed.is_err() { sleep(Duration::from_secs(1)).await },
                _ = weather.changed() => {}
                () = self.stopping() => {}
            }
        }
    }

    /// Waits for a look of this kind.
    pub(super) async fn until_weather(&self, wanted: impl Fn(&Weather) -> bool) {
        let mut weather = self.weather.subscribe();
        // The sender lives as long as the campaign does.
        let _ = weather.wait_for(|weather| weather.as_ref().is_some_and(&wanted)).await;
    }

    pub(super) fn weather(&self) -> &watch::Sender<Option<Weather>> {
        &self.weather
    }

    /// The server processes that run batches now.
    pub(super) fn working(&self) -> MutexGuard<'_, Vec<i32>> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn rest(&self, time: Duration) {
        if time > Duration::ZERO {
            tokio::select! {
                () = sleep(time) => {}
                () = self.stopping() => {}
            }
        }
    }

    pub(super) fn report(&self) {
        let weather = self.weather.borrow();
        self.engine.context.reporter.progress(self.meter.progress(
            &self.doing,
            self.walk.rows,
            weather.as_ref(),
        ));
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(super) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// An error of a batch. Its position is one in the SQL of the batch, which nobody knows.
    pub(super) fn failed(&self, error: QueryError) -> StepError {
        let error = match error {
            QueryError::Database(error) => {
                QueryError::Database(Box::new(DatabaseError { position: None, ..*error }))
            }
            error => error,
        };
        statement_error(&self.engine.job, self.step, error, Effect::Partial)
    }
}
