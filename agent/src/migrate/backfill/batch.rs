//! One batch: the statement over a range of the key and the range's new place, in one transaction.

use std::convert::Infallible;
use std::time::Duration;

use rand::RngExt as _;
use stopover_model::report::{Effect, Session as Blocker, StepError};
use tokio::time::{Instant, sleep};
use tokio_postgres::SimpleQueryMessage;

use super::Campaign;
use super::cut::Cut;
use crate::ledger::{self, BackfillRange, Batch};
use crate::migrate::stop::Stop;
use crate::migrate::transaction::{Trouble, begin, commit, let_go, own_settings};
use crate::postgres::{QueryError, Session, blockers};

/// Between two tries of a batch that did not get its locks.
const PAUSES: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_millis(200);
const BETWEEN_MESSAGES: Duration = Duration::from_secs(10);
/// How long a batch may take to end by itself when the step is cancelled.
const GRACE: Duration = Duration::from_secs(2);
const BETWEEN_REQUESTS: Duration = Duration::from_millis(500);

/// The two sessions of a worker.
#[derive(Clone, Copy)]
pub(super) struct Sessions<'a> {
    /// Runs the batches, with the script's settings.
    pub(super) working: &'a Session,
    /// Looks ahead, and at the working one.
    pub(super) scout: &'a Session,
}

/// What a batch did.
pub(super) struct Done {
    pub(super) rows: u64,
    /// The statement of the try that got through: what comes with every batch, whatever its size, is not counted.
    pub(super) took: Duration,
}

/// Runs the batch, again and again while locks are not to be had.
pub(super) async fn run(
    campaign: &Campaign<'_, '_>,
    sessions: Sessions<'_>,
    range: &BackfillRange,
    cut: &Cut,
) -> Result<Done, Stop> {
    let sql = campaign.batchable.batch_sql(&cut.rows_of(range, campaign.directive.order, &campaign.walk.key));
    let mut waits = Waits::new(campaign);
    loop {
        match attempt(campaign, sessions, range, cut, &sql).await {
            Ok(done) => return Ok(done),
            Err(trouble) => {
                let_go(sessions.working, &trouble).await;
                match trouble {
                    Trouble::Locked { error, .. } => waits.wait(error).await?,
                    Trouble::Stop(stop) => return Err(stop),
                }
            }
        }
    }
}

async fn attempt(
    campaign: &Campaign<'_, '_>,
    sessions: Sessions<'_>,
    range: &BackfillRange,
    cut: &Cut,
    sql: &str,
) -> Result<Done, Trouble> {
    let (engine, session) = (campaign.engine, sessions.working);
    begin(engine, session).await?.take_on(session).await?;
    let began = Instant::now();
    let rows = statement(campaign, sessions, sql).await?;
    let took = began.elapsed();
    let batch = Batch {
        range: range.range,
        pass: range.pass,
        from: cut.from.as_ref(),
        to: cut.to.as_ref(),
        rows: i64::try_from(rows).unwrap_or(i64::MAX),
        walked: i64::from(cut.walked(range.lane)),
        batch_rows: i32::try_from(cut.size).unwrap_or(i32::MAX),
    };
    let flushed = async { if cut.to.is_some() { flush_later(session).await } else { Ok(()) } };
    let (own, flushed, moved) = tokio::join!(
        own_settings(session),
        flushed,
        ledger::advance_backfill(session, campaign.statement(), batch)
    );
    own.and(flushed)?;
    if !moved.map_err(|e| Stop::query(e, "write the backfill's place into the ledger"))? {
        let why = "somebody else has moved the backfill on".to_owned();
        return Err(Stop::LookAgain { why, in_doubt: false }.into());
    }
    commit(engine, session).await?;
    Ok(Done { rows, took })
}

/// A batch lets go of its rows without waiting for the disk. A crash of the server may take the newest batches back, each
/// with its place in the ledger, and they are done again; the COMMIT of a range's last batch waits for all of them.
async fn flush_later(session: &Session) -> Result<(), Stop> {
    let set = session.client().batch_execute("SET LOCAL synchronous_commit = off").await;
    set.map_err(|e| Stop::query(session.error(e), "let a batch go before it is on the disk"))
}

/// The statement itself, watched: who blocks it is asked while it waits, and a cancelled step does not wait for it long.
async fn statement(campaign: &Campaign<'_, '_>, sessions: Sessions<'_>, sql: &str) -> Result<u64, Trouble> {
    let (engine, session) = (campaign.engine, sessions.working);
    let guard = format!(
        "SELECT pg_catalog.set_config('lock_timeout', '{}ms', true), \
         pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true)",
        engine.job.locks.lock_timeout.as_millis().max(1)
    );
    let client = session.client();
    let running = async { tokio::join!(client.simple_query(&guard), client.simple_query(sql)) };
    tokio::pin!(running);
    let (set, answer) = tokio::select! {
        ended = &mut running => ended,
        never = watch(campaign, sessions) => match never {},
        never = overdue(campaign, sessions) => match never {},
    };
    set.map_err(|e| Stop::query(session.error(e), "make the session's settings anew"))?;
    match answer.map_err(|e| session.error(e)) {
        Ok(answer) => Ok(rows_of(&answer)),
        Err(error) if error.is_lock() => Err(Trouble::Locked { index: campaign.step.index, error }),
        Err(QueryError::Lost(why)) => Err(Stop::LookAgain { why, in_doubt: false }.into()),
        Err(error) if error.sqlstate() == Some("57014") && campaign.is_stopping() => {
            Err(Stop::cancelled(Effect::Partial).into())
        }
        Err(error) => Err(Stop::failed(campaign.failed(error)).into()),
    }
}

fn rows_of(answer: &[SimpleQueryMessage]) -> u64 {
    let count = answer.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
        _ => None,
    });
    count.unwrap_or_default()
}

/// Notes who blocks the batch, for as long as it runs.
async fn watch(campaign: &Campaign<'_, '_>, sessions: Sessions<'_>) -> Infallible {
    let show_queries = campaign.engine.job.locks.show_queries;
    let mut pause = (campaign.engine.job.locks.lock_timeout / 2).max(Duration::from_millis(20));
    loop {
        sleep(pause).await;
        if let Ok(found) = blockers(sessions.scout, sessions.working.identity().pid, show_queries).await
            && !found.sessions.is_empty()
        {
            campaign.meter.note_blockers(found.sessions);
        }
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// When the step is cancelled and the batch does not end by itself, the server is told to end it.
async fn overdue(campaign: &Campaign<'_, '_>, sessions: Sessions<'_>) -> Infallible {
    campaign.engine.context.cancel.cancelled().await;
    sleep(GRACE).await;
    let sql = format!("SELECT pg_catalog.pg_cancel_backend({})", sessions.working.identity().pid);
    loop {
        // Where it can't be asked, the batch's own end is waited for.
        let _ = sessions.scout.client().batch_execute(&sql).await;
        sleep(BETWEEN_REQUESTS).await;
    }
}

/// The waiting between the tries of one batch.
struct Waits<'c, 'e, 'j> {
    campaign: &'c Campaign<'e, 'j>,
    until: Option<Instant>,
    said: Option<Instant>,
    tries: u32,
}

impl<'c, 'e, 'j> Waits<'c, 'e, 'j> {
    fn new(campaign: &'c Campaign<'e, 'j>) -> Self {
        Self { campaign, until: None, said: None, tries: 0 }
    }

    async fn wait(&mut self, error: QueryError) -> Result<(), Stop> {
        let (now, budget) = (Instant::now(), self.campaign.engine.job.locks.lock_retry_for);
        self.tries += 1;
        self.campaign.meter.locked();
        let blockers = self.campaign.meter.take_blockers();
        if now >= *self.until.get_or_insert(now + budget) {
            return Err(Stop::failed(self.exhausted(error, &blockers)));
        }
        if !blockers.is_empty() && self.said.is_none_or(|said| now - said >= BETWEEN_MESSAGES) {
            self.said = Some(now);
            let text = format!("a batch waits for {}; it has let go, and tries again", named(&blockers));
            self.campaign.engine.context.reporter.message(text);
        }
        let pause = rand::rng().random_range(PAUSES);
        tokio::select! {
            () = sleep(pause) => {}
            () = self.campaign.stopping() => {}
        }
        if self.campaign.is_stopping() { Err(Stop::cancelled(Effect::Partial)) } else { Ok(()) }
    }

    fn exhausted(&self, error: QueryError, blockers: &[Blocker]) -> StepError {
        let time = stopover_model::duration::human(self.campaign.engine.job.locks.lock_retry_for);
        let mut error = self.campaign.failed(error);
        error.message = format!("{}; a batch was tried {} times in {time}", error.message, self.tries);
        error.hint = Some(if blockers.is_empty() {
            "it goes on from here when the deployment is resumed: try when the database is quieter".to_owned()
        } else {
            format!(
                "blocked by {}: end it, then resume the deployment, which goes on from here",
                named(blockers)
            )
        });
        error
    }
}

fn named(blockers: &[Blocker]) -> String {
    blockers.iter().map(Blocker::to_string).collect::<Vec<_>>().join(", ")
}
