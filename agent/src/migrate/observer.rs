//! A second session that looks at the working one while it can't speak: who blocks it, how far an index build is.
//!
//! It is opened when a statement takes its time, and it never changes anything. Where it can't be opened the work goes on
//! unwatched.

use std::time::Duration;

use stopover_model::report::{Progress, ProgressUnit, Session as Blocker};
use stopover_model::sql::StatementKind;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use super::waits::Waits;
use crate::postgres::{
    Blockers, Purpose, QueryError, Session, SessionName, blockers, shown, still_run, waits,
};
use crate::step::StepContext;

const QUICKEST: Duration = Duration::from_millis(5);
const SLOWEST: Duration = Duration::from_millis(500);
/// Between two looks at a transaction whose waits are counted.
const SLOWEST_COUNTING: Duration = Duration::from_millis(50);
/// The part of the patience that passes between two looks, and before the first one, which costs a connection.
const BETWEEN_LOOKS: u32 = 8;
const FIRST_LOOK: u32 = 3;
/// After this long a statement has most likely got its locks.
const FIRST_WAITS: Duration = Duration::from_secs(2);
const BETWEEN_MESSAGES: Duration = Duration::from_secs(10);
const AFTER_TROUBLE: Duration = Duration::from_secs(5);
const LONGEST_PREPARATION: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Observer {
    session: Option<Session>,
    show_queries: bool,
    blockers: Blockers,
}

impl Observer {
    /// `show_queries`: whether what blocking sessions run may be told.
    pub(super) fn new(show_queries: bool) -> Self {
        Self { show_queries, ..Self::default() }
    }

    /// Who was last seen to block the statement that is being tried.
    pub(super) fn blockers(&self) -> Vec<Blocker> {
        self.blockers.sessions.clone()
    }

    /// The statement has got through.
    pub(super) fn forget_blockers(&mut self) {
        self.blockers = Blockers::default();
    }

    /// Whether the end of those who block can be seen: all of them are transactions of sessions.
    pub(super) fn knows_blockers(&self) -> bool {
        let Blockers { sessions, transactions, .. } = &self.blockers;
        !transactions.is_empty() && transactions.len() == sessions.len()
    }

    /// The table that only automatic VACUUMs were last seen to hold.
    pub(super) fn vacuumed(&self) -> Option<String> {
        self.blockers.vacuumed.clone()
    }

    /// Returns when no transaction that was last seen to block runs any more; never where that can't be seen.
    pub(super) async fn until_blockers_end(&mut self, between_looks: Duration) {
        let watched = self.knows_blockers();
        while let Some(session) = self.session.as_ref().filter(|_| watched) {
            match still_run(session, &self.blockers.transactions).await {
                Ok(true) => sleep(between_looks).await,
                Ok(false) => return,
                Err(_) => self.session = None,
            }
        }
        std::future::pending::<()>().await;
    }

    /// The session that looks, when it can be opened.
    pub(super) async fn session(&mut self, context: &StepContext) -> Option<&Session> {
        self.prepare(context).await;
        self.session.as_ref()
    }

    /// What took the working session may have taken this one: the next look is through another.
    pub(super) fn renew(&mut self) {
        self.session = None;
    }

    /// Connects while nothing runs: a try that gives up soon is over before a session is there.
    pub(super) async fn prepare(&mut self, context: &StepContext) {
        if self.session.is_none()
            && let Ok(Ok(session)) = tokio::time::timeout(LONGEST_PREPARATION, connect(context)).await
        {
            self.session = Some(session);
        }
    }

    /// Tells the session's statement to stop. When this returns, the request has arrived and stops nothing that is sent
    /// later: unlike the protocol's own request, which nobody answers, and which is the second choice here.
    pub(super) async fn cancel(&mut self, context: &StepContext, working: &Session) {
        self.prepare(context).await;
        let pid = working.identity().pid;
        if let Some(session) = &self.session {
            let sql = "SELECT pg_catalog.pg_cancel_backend($1)";
            let parameters = &[(&pid as &(dyn tokio_postgres::types::ToSql + Sync), Type::INT4)];
            let asked = session.client().query_typed(sql, parameters);
            if matches!(tokio::time::timeout(LONGEST_PREPARATION, asked).await, Ok(Ok(_))) {
                return;
            }
            self.session = None;
        }
        working.cancel().await;
        sleep(SLOWEST).await;
    }

    pub(super) async fn close(self) {
        if let Some(session) = self.session {
            session.close().await;
        }
    }

    /// Watches the backend until it is dropped; returns when its transaction has waited for locks longer than it may.
    pub(super) async fn watch(
        &mut self,
        context: &StepContext,
        pid: i32,
        kind: &StatementKind,
        waits: &mut Waits,
    ) {
        let began = Instant::now();
        let slowest = if waits.are_counted() { SLOWEST_COUNTING } else { SLOWEST };
        let quick = (waits.limit() / BETWEEN_LOOKS).clamp(QUICKEST, slowest);
        let first = (waits.limit() / FIRST_LOOK).clamp(QUICKEST, slowest);
        let mut said: Option<Instant> = None;
        sleep(if self.session.is_some() { quick } else { first }).await;
        loop {
            match self.look(context, pid, kind).await {
                Ok(waiting) if waits.looked(Instant::now(), waiting) => return,
                Ok(_) => {}
                Err(_) => {
                    self.session = None;
                    sleep(AFTER_TROUBLE).await;
                    continue;
                }
            }
            let due = said.map_or(began.elapsed() >= SLOWEST, |said| said.elapsed() >= BETWEEN_MESSAGES);
            if waits_by_design(kind) && due && !self.blockers.sessions.is_empty() {
                said = Some(Instant::now());
                let who: Vec<_> = self.blockers.sessions.iter().map(ToString::to_string).collect();
                context.reporter.message(format!("{kind} waits for {}", who.join(", ")));
            }
            sleep(if began.elapsed() < FIRST_WAITS { quick } else { slowest }).await;
        }
    }

    /// Whether the backend waits for a lock.
    async fn look(
        &mut self,
        context: &StepContext,
        pid: i32,
        kind: &StatementKind,
    ) -> Result<bool, QueryError> {
        if self.session.is_none() {
            self.session = Some(connect(context).await?);
        }
        let Some(session) = &self.session else { return Ok(false) };
        let waiting = waits(session, pid).await?;
        if waiting {
            let found = blockers(session, pid, self.show_queries).await?;
            // It may have got its lock in between.
            if !found.sessions.is_empty() {
                self.blockers = found;
            }
        } else if waits_by_design(kind) {
            self.blockers = Blockers::default();
        }
        if matches!(kind, StatementKind::CreateIndex { .. } | StatementKind::Reindex { .. })
            && let Some(progress) = index_progress(session, pid).await?
        {
            context.reporter.progress(progress);
        }
        Ok(waiting)
    }
}

async fn connect(context: &StepContext) -> Result<Session, QueryError> {
    let purpose = Purpose::reading(&SessionName::of(context));
    context.database.connect(&purpose).await.map_err(|e| QueryError::Lost(e.to_string()))
}

fn waits_by_design(kind: &StatementKind) -> bool {
    matches!(
        kind,
        StatementKind::CreateIndex { concurrently: true, .. }
            | StatementKind::DropIndex { concurrently: true, .. }
            | StatementKind::Reindex { concurrently: true, .. }
            | StatementKind::DetachPartitionConcurrently { .. }
    )
}

async fn index_progress(session: &Session, pid: i32) -> Result<Option<Progress>, QueryError> {
    let sql = "SELECT phase, coalesce(relid::regclass::text, ''), blocks_done, blocks_total, lockers_done, lockers_total \
               FROM pg_catalog.pg_stat_progress_create_index WHERE pid = $1";
    let row =
        session.client().query_typed_opt(sql, &[(&pid, Type::INT4)]).await.map_err(|e| session.error(e))?;
    Ok(row.map(|row| {
        let (phase, table): (&str, &str) = (row.get(0), row.get(1));
        let number = |column: usize| {
            u64::try_from(row.get::<_, Option<i64>>(column).unwrap_or_default()).unwrap_or_default()
        };
        Progress {
            doing: format!("index on {}: {}", shown(table, 130), shown(phase, 80)),
            done: number(2),
            total: number(3),
            unit: ProgressUnit::Blocks,
            backfill: None,
        }
    }))
}
