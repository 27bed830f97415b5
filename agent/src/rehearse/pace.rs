//! How fast backfills go on a copy. Nobody uses the copy, but where it lies on the live server its batches are written to
//! that server's log, which standbys and the archive have to take in.

use std::time::Duration;

use stopover_model::backfill::{Brakes, Throttle};
use stopover_model::pipeline::BackfillSettings;
use tokio::sync::watch;

use crate::postgres::{QueryError, Session};
use crate::step::StepContext;

/// The stage's settings as far as they mean something on the copy.
pub(super) async fn settings(
    context: &StepContext,
    session: &Session,
    stage: &BackfillSettings,
    (on_live_server, has_backfill): (bool, bool),
) -> Result<BackfillSettings, QueryError> {
    let of_server = on_live_server && sees_standbys(session).await?;
    let brakes = &stage.brakes;
    let held = has_backfill && on_live_server && !of_server;
    if held && (brakes.replica_behind.is_some() || brakes.archive_behind.is_some()) {
        context.reporter.message(
            "standbys and the archive do not hold the rehearsal's backfills: the copy's role may not see them",
        );
    }
    let brakes = Brakes {
        replica_behind: brakes.replica_behind.filter(|_| of_server),
        archive_behind: brakes.archive_behind.filter(|_| of_server),
        wal_rate: brakes.wal_rate.filter(|_| on_live_server),
        // Whoever else is on the copy is the rehearsal itself.
        lock_waiters: None,
        oldest_transaction: None,
        autovacuum: false,
        canary: None,
    };
    let throttle = if on_live_server { stage.throttle.clone() } else { Throttle::default() };
    Ok(BackfillSettings { throttle, brakes, vacuum: stage.vacuum })
}

/// What a person says of the speed; on another server than the live one nothing is held back.
pub(super) fn throttle(context: &StepContext, on_live_server: bool) -> watch::Receiver<Throttle> {
    if on_live_server {
        return context.throttle.clone();
    }
    let unbounded = Throttle { max_rate: Some(u32::MAX), pause: Some(Duration::ZERO), ..Throttle::default() };
    watch::channel(unbounded).1
}

async fn sees_standbys(session: &Session) -> Result<bool, QueryError> {
    let rows = session.query(SEES, &[]).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

const SEES: &str = "SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')";
