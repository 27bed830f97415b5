//! VACUUM now and then, in a session of its own: a table whose rows are all changed once would else come to be twice its
//! size. Whoever waits for a lock on the table goes first.

use std::time::Duration;

use stopover_model::duration::human;
use stopover_model::sql::quoted;
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;

use super::Campaign;
use crate::postgres::{Purpose, QueryError, Session, SessionName};

/// Two looks at the signals later the figures are of after a VACUUM.
const SETTLING: Duration = Duration::from_secs(1);
/// Of fewer dead rows nothing is made, however small the table.
const FEWEST: u64 = 10_000;
/// From this version on VACUUM may be granted.
const MAY_BE_GRANTED: i32 = 170_000;

/// Vacuums the table whenever enough of its rows are dead, until it is over.
pub(super) async fn keep_small(campaign: &Campaign<'_, '_>, over: &CancellationToken) {
    let rows = campaign.walk.rows;
    let Some(enough) = campaign.engine.job.backfill.vacuum.dead_rows(rows) else { return };
    let enough = enough.max(FEWEST);
    let reporter = &campaign.engine.context.reporter;
    let mut next = enough;
    while dead_rows_reach(campaign, next, over).await {
        match vacuum(campaign, over).await {
            Ok(End::Done(took)) => {
                let message = format!("vacuumed {} in {}", campaign.batchable.table, human(took));
                reporter.message(message);
            }
            Ok(End::GaveWay) => reporter.message(format!(
                "the VACUUM of {} gave way to a session that waits for a lock on it",
                campaign.batchable.table
            )),
            Ok(End::Over) => return,
            Ok(End::MayNot { user }) => {
                reporter.message(format!(
                    "{} is not vacuumed while the backfill runs: {user} does not own it; autovacuum has to do",
                    campaign.batchable.table
                ));
                return;
            }
            Err(error) => {
                reporter.message(format!("the VACUUM of {} failed: {error}", campaign.batchable.table));
            }
        }
        // Where an old transaction keeps the dead rows they are there still, and another VACUUM would do no more.
        // The figure is from before it until the next look.
        tokio::select! {
            () = sleep(SETTLING) => {}
            () = over.cancelled() => return,
        }
        next = dead_rows(campaign).saturating_add(enough);
    }
}

/// How a VACUUM ended.
enum End {
    Done(Duration),
    GaveWay,
    /// The backfill ended before it.
    Over,
    MayNot {
        user: String,
    },
}

async fn vacuum(campaign: &Campaign<'_, '_>, over: &CancellationToken) -> Result<End, String> {
    let purpose = Purpose::writing(&SessionName::of(campaign.engine.context))
        .expecting_system(campaign.engine.job.system_identifier);
    let session = campaign.engine.context.database.connect(&purpose).await.map_err(|e| e.to_string())?;
    let ended = on_session(campaign, &session, over).await;
    session.close().await;
    ended.map_err(|error| error.to_string())
}

async fn on_session(
    campaign: &Campaign<'_, '_>,
    session: &Session,
    over: &CancellationToken,
) -> Result<End, QueryError> {
    let began = Instant::now();
    let client = session.client();
    // As gently as autovacuum does it. The end of the file is left as it is: cutting it off locks out everybody.
    client.batch_execute("SET vacuum_cost_delay = '2ms'").await.map_err(|e| session.error(e))?;
    let granted = if session.identity().version_num >= MAY_BE_GRANTED {
        " OR pg_catalog.has_table_privilege(c.oid, 'MAINTAIN')"
    } else {
        ""
    };
    let may = format!("{MAY}{granted})");
    let row = client.query_typed_opt(&may, &[(&campaign.walk.oid, Type::OID)]).await;
    if row.map_err(|e| session.error(e))?.is_none() {
        return Ok(End::MayNot { user: session.identity().user.clone() });
    }
    let table = format!("{}.{}", quoted(&campaign.walk.schema), quoted(&campaign.walk.table));
    let sql = format!("VACUUM (SKIP_LOCKED, TRUNCATE false) {table}");
    let running = client.batch_execute(&sql);
    tokio::pin!(running);
    let stopped = tokio::select! {
        ended = &mut running => return ended.map(|()| End::Done(began.elapsed())).map_err(|e| session.error(e)),
        () = over.cancelled() => End::Over,
        () = someone_waits(campaign) => End::GaveWay,
    };
    session.cancel().await;
    match running.await.map_err(|e| session.error(e)) {
        Err(QueryError::Lost(why)) => Err(QueryError::Lost(why)),
        // That it was cancelled, or came to its end just before.
        Ok(()) | Err(_) => Ok(stopped),
    }
}

/// The table's owner may, or the database's.
const MAY: &str = "\
SELECT FROM pg_catalog.pg_class c \
WHERE c.oid = $1 AND (pg_catalog.pg_has_role(c.relowner, 'USAGE') \
    OR EXISTS (SELECT FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database() \
        AND pg_catalog.pg_has_role(d.datdba, 'USAGE'))";

/// Waits until so many rows are dead; false when it is over.
async fn dead_rows_reach(campaign: &Campaign<'_, '_>, enough: u64, over: &CancellationToken) -> bool {
    let reached = campaign.until_weather(|weather| weather.dead_rows >= enough);
    tokio::select! {
        () = reached => true,
        () = over.cancelled() => false,
    }
}

async fn someone_waits(campaign: &Campaign<'_, '_>) {
    campaign.until_weather(|weather| weather.lock_waiters > 0).await;
}

fn dead_rows(campaign: &Campaign<'_, '_>) -> u64 {
    campaign.weather().borrow().as_ref().map_or(0, |weather| weather.dead_rows)
}
