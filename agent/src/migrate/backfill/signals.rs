//! What the live database says while a backfill runs, read in a session of its own that only reads.

use std::collections::VecDeque;
use std::time::Duration;

use stopover_model::backfill::{Brakes, Reading, Signals};
use stopover_model::sql::quoted;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::postgres::{QueryError, Session, shown};

/// Looks of the canary that its percentile is taken over.
const CANARY_WINDOW: usize = 50;
/// A canary that takes longer than this many times its limit has said enough.
const CANARY_PATIENCE: u32 = 10;
/// What the first rate of WAL is taken over.
const FIRST_RATE: Duration = Duration::from_millis(250);

/// Reads the signals again and again; some are differences to the look before.
pub(in crate::migrate) struct Probe {
    brakes: Brakes,
    table: u32,
    /// Where the WAL was, and when.
    wal: Option<(i64, Instant)>,
    first_wal: Option<i64>,
    canary: VecDeque<Duration>,
}

/// One look, with what people like to see besides.
#[derive(Debug, Clone)]
pub(in crate::migrate) struct Look {
    pub(in crate::migrate) signals: Signals,
    /// That the whole server has written since the backfill began.
    pub(super) wal_bytes: u64,
    /// Of the table, as the statistics know it.
    pub(super) dead_rows: u64,
}

impl Probe {
    pub(in crate::migrate) fn new(brakes: Brakes, table: u32) -> Self {
        Self { brakes, table, wal: None, first_wal: None, canary: VecDeque::new() }
    }

    pub(in crate::migrate) async fn look(
        &mut self,
        session: &Session,
        working: &[i32],
    ) -> Result<Look, QueryError> {
        if self.brakes.wal_rate.is_some() && self.wal.is_none() {
            // A rate is known from the second look on, and what is not known would hold nothing.
            let row = session.client().query_typed_one(WAL, &[]).await.map_err(|e| session.error(e))?;
            self.wal = Some((row.get(0), Instant::now()));
            tokio::time::sleep(FIRST_RATE).await;
        }
        let parameters = &[
            (&self.table as &(dyn tokio_postgres::types::ToSql + Sync), Type::OID),
            (&working, Type::INT4_ARRAY),
        ];
        let row =
            session.client().query_typed_one(SIGNALS, parameters).await.map_err(|e| session.error(e))?;
        let now = Instant::now();
        let wal: i64 = row.get("wal");
        let first = *self.first_wal.get_or_insert(wal);
        let wal_rate = match self.wal.replace((wal, now)) {
            Some((before, at)) => {
                let millis = i64::try_from(now.duration_since(at).as_millis()).unwrap_or(i64::MAX).max(1);
                Reading::Value(positive((wal - before).saturating_mul(1_000) / millis))
            }
            None => Reading::Absent,
        };
        let canary = self.canary(session).await?;
        Ok(Look {
            signals: Signals {
                replica_behind: replica(&row, &session.identity().user),
                archive_behind: archive(&row),
                wal_rate,
                lock_waiters: Reading::Value(u32::try_from(row.get::<_, i64>("waiters")).unwrap_or(u32::MAX)),
                oldest_transaction: oldest(&row, &session.identity().user),
                autovacuum: Reading::Value(row.get("autovacuum")),
                canary,
            },
            wal_bytes: positive(wal - first),
            dead_rows: positive(row.get::<_, Option<i64>>("dead").unwrap_or_default()),
        })
    }

    async fn canary(&mut self, session: &Session) -> Result<Reading<Duration>, QueryError> {
        let Some(canary) = &self.brakes.canary else { return Ok(Reading::Absent) };
        let patience = canary.p99.saturating_mul(CANARY_PATIENCE).max(Duration::from_secs(1));
        let client = session.client();
        let opening = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {}", patience.as_millis());
        client.batch_execute(&opening).await.map_err(|e| session.error(e))?;
        let began = Instant::now();
        let answer = client.simple_query(&canary.sql).await.map_err(|e| session.error(e));
        let took = began.elapsed();
        client.batch_execute("ROLLBACK").await.map_err(|e| session.error(e))?;
        match answer {
            Ok(_) => {}
            Err(QueryError::Lost(why)) => return Err(QueryError::Lost(why)),
            // That it ran out of time is an answer.
            Err(error) if error.sqlstate() == Some("57014") => {}
            Err(error) => return Ok(Reading::Unreadable(error.to_string())),
        }
        if self.canary.len() == CANARY_WINDOW {
            self.canary.pop_front();
        }
        self.canary.push_back(took);
        let mut sorted: Vec<_> = self.canary.iter().copied().collect();
        sorted.sort_unstable();
        let at = (sorted.len() * 99).div_ceil(100).saturating_sub(1);
        Ok(Reading::Value(sorted[at]))
    }
}

fn replica(row: &Row, user: &str) -> Reading<(String, u64)> {
    let standbys: i64 = row.get("standbys");
    match (standbys, row.get::<_, Option<i64>>("behind")) {
        (0, _) => Reading::Absent,
        (_, None) => Reading::Unreadable(no_monitor(user)),
        (_, Some(bytes)) => {
            let name = row.get::<_, Option<&str>>("furthest").unwrap_or_default();
            Reading::Value((shown(name, 63), positive(bytes)))
        }
    }
}

fn archive(row: &Row) -> Reading<u64> {
    if row.get::<_, &str>("archive_mode") == "off" {
        return Reading::Absent;
    }
    let segment = positive(row.get::<_, i64>("segment_bytes")).max(1);
    let number = |name: Option<&str>| segment_number(name?, segment);
    let failed: i64 = row.get("archive_failed");
    match (number(row.get("last_archived")), number(row.get("current_segment"))) {
        (Some(archived), Some(current)) => {
            // The segment that is being written can't be archived yet.
            Reading::Value(current.saturating_sub(archived + 1).saturating_mul(segment))
        }
        (None, _) if failed > 0 => Reading::Unreadable(
            "archiving has failed and never succeeded; look at archive_command".to_owned(),
        ),
        _ => Reading::Absent,
    }
}

/// `000000010000000A000000FF`: timeline, then the number's high and low part.
fn segment_number(name: &str, segment: u64) -> Option<u64> {
    let high = u64::from_str_radix(name.get(8..16)?, 16).ok()?;
    let low = u64::from_str_radix(name.get(16..24)?, 16).ok()?;
    Some(high * ((1 << 32) / segment) + low)
}

fn oldest(row: &Row, user: &str) -> Reading<(String, Duration)> {
    if row.get::<_, i64>("hidden") > 0 {
        return Reading::Unreadable(no_monitor(user));
    }
    match row.get::<_, Option<i64>>("oldest_ms") {
        None => Reading::Absent,
        Some(ms) => {
            let who = row.get::<_, Option<&str>>("oldest_who").unwrap_or_default();
            Reading::Value((shown(who, 160), Duration::from_millis(positive(ms))))
        }
    }
}

fn no_monitor(user: &str) -> String {
    format!("the agent's user may not see it; GRANT pg_monitor TO {}", quoted(user))
}

fn positive(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

const WAL: &str = "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::bigint";

const SIGNALS: &str = "\
WITH tables AS ( \
    SELECT $1::oid AS relid UNION SELECT relid FROM pg_catalog.pg_partition_tree($1) \
), standby AS ( \
    SELECT count(*) AS standbys, \
        CASE WHEN bool_and(replay_lsn IS NOT NULL) THEN max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn)) END::bigint AS behind, \
        (array_agg(application_name ORDER BY replay_lsn NULLS FIRST))[1] AS furthest \
    FROM pg_catalog.pg_stat_replication WHERE state IS NULL OR state IN ('streaming', 'catchup') \
), others AS ( \
    SELECT a.pid, a.application_name, a.usename, a.state, a.xact_start, a.backend_type IS NULL AS hidden \
    FROM pg_catalog.pg_stat_activity a \
    WHERE a.datname = pg_catalog.current_database() AND a.pid <> ALL ($2) AND a.pid <> pg_catalog.pg_backend_pid() \
        AND (a.backend_type = 'client backend' OR a.backend_type IS NULL) AND a.application_name NOT LIKE 'stopover/%' \
), oldest AS ( \
    SELECT pid, application_name, usename, state, xact_start FROM others WHERE xact_start IS NOT NULL ORDER BY xact_start LIMIT 1 \
) \
SELECT standby.standbys, standby.behind, standby.furthest::text, \
    pg_catalog.current_setting('archive_mode') AS archive_mode, \
    (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size') AS segment_bytes, \
    archiver.last_archived_wal AS last_archived, archiver.failed_count AS archive_failed, \
    pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) AS current_segment, \
    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::bigint AS wal, \
    (SELECT count(*) FROM pg_catalog.pg_locks l WHERE NOT l.granted AND l.locktype IN ('relation', 'tuple') \
        AND l.relation IN (SELECT relid FROM tables) \
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND l.pid <> ALL ($2)) \
    + (SELECT count(*) FROM pg_catalog.pg_stat_activity w WHERE w.wait_event_type = 'Lock' AND w.wait_event = 'transactionid' \
        AND w.pid <> ALL ($2) AND pg_catalog.pg_blocking_pids(w.pid) && $2) AS waiters, \
    (SELECT count(*) FROM others WHERE hidden) AS hidden, \
    (SELECT (extract(epoch FROM pg_catalog.clock_timestamp() - xact_start) * 1000)::bigint FROM oldest) AS oldest_ms, \
    (SELECT pg_catalog.format('pid %s (%s as %s, %s)', pid, coalesce(nullif(application_name, ''), 'no application name'), usename, state) \
        FROM oldest) AS oldest_who, \
    EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum v JOIN pg_catalog.pg_stat_activity a USING (pid) \
        WHERE v.relid IN (SELECT relid FROM tables) AND a.backend_type = 'autovacuum worker') AS autovacuum, \
    (SELECT sum(pg_catalog.pg_stat_get_dead_tuples(relid)) FROM tables)::bigint AS dead \
FROM standby, pg_catalog.pg_stat_archiver archiver";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_counted_across_their_names_parts() {
        let sixteen = 16 << 20;
        let number = |name| segment_number(name, sixteen).unwrap();
        assert_eq!(number("000000010000000A000000FF") + 1, number("000000020000000B00000000"));
        assert_eq!(segment_number("short", sixteen), None);
    }
}
