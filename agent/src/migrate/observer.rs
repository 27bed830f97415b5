//! A second session that looks at the working one while it can't speak: who blocks it, how far an index build is.
//!
//! It is opened when a statement takes its time, and it never changes anything. Where it can't be opened the work goes on
//! unwatched.

use std::time::Duration;

use stopover_model::report::{Progress, ProgressUnit, Session as Blocker};
use stopover_model::sql::StatementKind;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use crate::postgres::{Purpose, QueryError, Session, SessionName, blockers, describe_blocker, shown};
use crate::step::StepContext;

const QUICKEST: Duration = Duration::from_millis(30);
const SLOWEST: Duration = Duration::from_millis(500);
/// After this long a statement has most likely got its locks.
const FIRST_WAITS: Duration = Duration::from_secs(2);
const BETWEEN_MESSAGES: Duration = Duration::from_secs(10);
const AFTER_TROUBLE: Duration = Duration::from_secs(5);
const LONGEST_PREPARATION: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Observer {
    session: Option<Session>,
    blockers: Vec<Blocker>,
}

impl Observer {
    /// Who was last seen to block the statement that is being tried.
    pub(super) fn blockers(&self) -> Vec<Blocker> {
        self.blockers.clone()
    }

    /// The statement has got through.
    pub(super) fn forget_blockers(&mut self) {
        self.blockers.clear();
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

    /// Watches the backend until it is dropped.
    pub(super) async fn watch(
        &mut self,
        context: &StepContext,
        pid: i32,
        kind: &StatementKind,
        lock_timeout: Duration,
    ) {
        let began = Instant::now();
        let quick = (lock_timeout / 3).clamp(QUICKEST, SLOWEST);
        let mut said: Option<Instant> = None;
        loop {
            sleep(if began.elapsed() < FIRST_WAITS { quick } else { SLOWEST }).await;
            if self.look(context, pid, kind).await.is_err() {
                self.session = None;
                sleep(AFTER_TROUBLE).await;
                continue;
            }
            let due = said.map_or(began.elapsed() >= SLOWEST, |said| said.elapsed() >= BETWEEN_MESSAGES);
            if waits_by_design(kind) && due && !self.blockers.is_empty() {
                said = Some(Instant::now());
                let who: Vec<_> = self.blockers.iter().map(describe_blocker).collect();
                context.reporter.message(format!("{kind} waits for {}", who.join(", ")));
            }
        }
    }

    async fn look(
        &mut self,
        context: &StepContext,
        pid: i32,
        kind: &StatementKind,
    ) -> Result<(), QueryError> {
        let session =
            if let Some(session) = self.session.take() { session } else { connect(context).await? };
        let session = self.session.insert(session);
        let blockers = blockers(session, pid).await?;
        if !blockers.is_empty() || waits_by_design(kind) {
            self.blockers = blockers;
        }
        if matches!(kind, StatementKind::CreateIndex { .. } | StatementKind::Reindex { .. })
            && let Some(progress) = index_progress(session, pid).await?
        {
            context.reporter.progress(progress);
        }
        Ok(())
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
        }
    }))
}
