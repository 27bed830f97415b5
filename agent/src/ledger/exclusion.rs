//! One writer for each database: a session lock that a dead writer's server process still holds until it is proven gone.
//!
//! The lock is polled, never waited for inside the server: a session that waits in `pg_advisory_lock` holds a snapshot,
//! and deadlocks with CREATE INDEX CONCURRENTLY.

use std::time::Duration;

use stopover_model::id::Epoch;
use stopover_model::report::{ErrorClass, StepError};
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use crate::postgres::{QueryError, Session, SessionName, shown};
use crate::step::StepContext;

/// The advisory lock's two keys, in every database: "STOP", "OVER".
pub const LOCK_KEYS: (i32, i32) = (0x5354_4f50, 0x4f56_4552);

const POLL: Duration = Duration::from_millis(25);
const LONGEST_POLL: Duration = Duration::from_millis(500);

/// How long an orphan and a stranger are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Before an orphan's server process is ended: it may be about to end by itself.
    pub orphan: Duration,
    /// For whatever can't be ended from here.
    pub stranger: Duration,
}

/// Why the lock was not had.
#[derive(Debug)]
pub enum Excluded {
    /// A newer attempt writes.
    Fenced {
        holder: SessionName,
    },
    /// Somebody holds it and does not let go.
    Busy {
        holder: String,
    },
    Cancelled,
    Query(QueryError),
}

impl Excluded {
    /// For people.
    #[must_use]
    pub fn into_step_error(self) -> StepError {
        match self {
            Self::Fenced { holder } => {
                let message = format!(
                    "deployment {}, with the newer epoch {}, has taken the database over; this attempt stops",
                    holder.deployment, holder.epoch
                );
                StepError::new(ErrorClass::Fenced, message)
            }
            Self::Busy { holder } => {
                let message =
                    format!("{holder} holds Stopover's lock in the database and does not let it go");
                StepError::new(ErrorClass::Lock, message).with_hint(
                    "find out what that session is; SELECT pg_terminate_backend(PID) as a superuser ends it",
                )
            }
            Self::Cancelled => StepError::new(ErrorClass::Cancelled, "the step was cancelled"),
            Self::Query(error) => error.into_step_error("take Stopover's lock"),
        }
    }
}

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    pid: i32,
    /// None where the user may not see it.
    backend_start: Option<i64>,
    application: String,
}

/// Takes the session lock when nobody holds it, or lets it go before the patience is at its end. Nobody is ended for it.
pub async fn take_free_lock(session: &Session, patience: Duration) -> Result<bool, QueryError> {
    let began = Instant::now();
    loop {
        let taken = try_lock(session).await?;
        if taken || began.elapsed() >= patience {
            return Ok(taken);
        }
        sleep(LONGEST_POLL).await;
    }
}

/// Takes the session lock. Whoever held it under an older or the same epoch is proven gone when this returns.
pub async fn take_lock(session: &Session, context: &StepContext, patience: Patience) -> Result<(), Excluded> {
    let began = Instant::now();
    let mut seen: Option<(Holder, Instant)> = None;
    let mut asked_to_end = None;
    let mut pause = POLL;
    loop {
        if try_lock(session).await.map_err(Excluded::Query)? {
            if let Some(ended) = asked_to_end {
                context.reporter.message(format!("pid {ended}, which an earlier run left behind, is gone"));
            }
            return Ok(());
        }
        if context.cancel.is_cancelled() {
            return Err(Excluded::Cancelled);
        }
        if let Some(holder) = holder(session).await.map_err(Excluded::Query)? {
            let since = match &seen {
                Some((known, since)) if *known == holder => *since,
                _ => Instant::now(),
            };
            let new = seen.as_ref().is_none_or(|(known, _)| *known != holder);
            seen = Some((holder.clone(), since));
            if is_orphan(&holder, context.epoch)? {
                if since.elapsed() >= patience.orphan && asked_to_end != Some(holder.pid) {
                    end(session, context, &holder).await?;
                    asked_to_end = Some(holder.pid);
                }
            } else if new {
                context
                    .reporter
                    .message(format!("waits for {}, which holds Stopover's lock", describe(&holder)));
            }
            if began.elapsed() >= patience.stranger {
                return Err(Excluded::Busy { holder: describe(&holder) });
            }
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = context.cancel.cancelled() => return Err(Excluded::Cancelled),
        }
        pause = (pause * 2).min(LONGEST_POLL);
    }
}

/// Lets the lock go, so that the next step needs not wait for this session's end.
pub async fn release_lock(session: &Session) {
    let sql = format!("SELECT pg_catalog.pg_advisory_unlock({}, {})", LOCK_KEYS.0, LOCK_KEYS.1);
    // A session that is gone has let go.
    let _ = session.client().batch_execute(&sql).await;
}

async fn try_lock(session: &Session) -> Result<bool, QueryError> {
    let sql = "SELECT pg_catalog.pg_try_advisory_lock($1, $2)";
    let row = session
        .client()
        .query_typed_one(sql, &[(&LOCK_KEYS.0, Type::INT4), (&LOCK_KEYS.1, Type::INT4)])
        .await;
    Ok(row.map_err(|e| session.error(e))?.get(0))
}

async fn holder(session: &Session) -> Result<Option<Holder>, QueryError> {
    let sql = "SELECT a.pid, (extract(epoch FROM a.backend_start) * 1000000)::bigint, a.application_name \
               FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
               WHERE l.locktype = 'advisory' AND l.granted AND l.classid::bigint = $1 AND l.objid::bigint = $2 \
                 AND l.objsubid = 2 AND l.database = \
                     (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";
    let keys = (i64::from(LOCK_KEYS.0), i64::from(LOCK_KEYS.1));
    let row = session.client().query_typed_opt(sql, &[(&keys.0, Type::INT8), (&keys.1, Type::INT8)]).await;
    let row = row.map_err(|e| session.error(e))?;
    Ok(row.map(|row| Holder {
        pid: row.get(0),
        backend_start: row.get(1),
        application: row.get::<_, Option<String>>(2).unwrap_or_default(),
    }))
}

/// This run has one working session, and it is the one that asks: a holder of its epoch is one that it has lost.
fn is_orphan(holder: &Holder, ours: Epoch) -> Result<bool, Excluded> {
    match holder.application.parse::<SessionName>() {
        Ok(name) if name.epoch > ours => Err(Excluded::Fenced { holder: name }),
        Ok(_) => Ok(holder.backend_start.is_some()),
        Err(_) => Ok(false),
    }
}

async fn end(session: &Session, context: &StepContext, holder: &Holder) -> Result<(), Excluded> {
    let sql = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
               WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::bigint = $2";
    let start = holder.backend_start.unwrap_or_default();
    let ended = session.client().query_typed(sql, &[(&holder.pid, Type::INT4), (&start, Type::INT8)]).await;
    let word = match ended.map_err(|e| session.error(e)) {
        Ok(_) => "an earlier run left it behind; it was told to end",
        Err(QueryError::Lost(text)) => return Err(Excluded::Query(QueryError::Lost(text))),
        Err(_) => {
            "an earlier run left it behind, and this database user may not end it (GRANT pg_signal_backend would let it)"
        }
    };
    context.reporter.message(format!("{} still runs: {word}", describe(holder)));
    Ok(())
}

fn describe(holder: &Holder) -> String {
    let application = match shown(&holder.application, 63) {
        name if name.is_empty() => "an application without a name".to_owned(),
        name => name,
    };
    format!("pid {} ({application})", holder.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_older_sessions_are_ended() {
        let holder = |application: &str, start| Holder {
            pid: 1,
            backend_start: start,
            application: application.to_owned(),
        };
        let older = holder("stopover/0123456789/migrate/1/e6/3f2a9c1d", Some(1));
        assert!(is_orphan(&older, Epoch(7)).unwrap());
        assert!(is_orphan(&older, Epoch(6)).unwrap());
        assert!(matches!(is_orphan(&older, Epoch(5)), Err(Excluded::Fenced { .. })));
        assert!(!is_orphan(&holder("psql", Some(1)), Epoch(7)).unwrap());
        assert!(!is_orphan(&holder("stopover/0123456789/migrate/1/e6/3f2a9c1d", None), Epoch(7)).unwrap());
    }
}
