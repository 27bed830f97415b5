//! What follows the server's write-ahead log: standbys, replication slots, the archive. A migration writes more of it, which
//! lies on the server's disk until all of them have it.

use stopover_model::report::StepError;

use crate::postgres::{Session, shown, step_error};

/// As much as backfills bear behind a standby, unless the pipeline says otherwise.
const FAR_BYTES: i64 = 64 << 20;

/// What is far behind or stands still, a sentence each. Of standbys only a member of `pg_monitor` is told how far they are.
pub(super) async fn warnings(session: &Session) -> Result<Vec<String>, StepError> {
    behind(session, FAR_BYTES).await
}

async fn behind(session: &Session, far: i64) -> Result<Vec<String>, StepError> {
    let rows = session.client().query(BEHIND, &[&far]).await;
    let rows =
        rows.map_err(|error| step_error("could not look at standbys, slots and the archive", error))?;
    Ok(rows.iter().map(|row| shown(row.get("warning"), 300)).collect())
}

const BEHIND: &str = "
WITH written AS (
    SELECT pg_catalog.pg_current_wal_lsn() AS lsn WHERE NOT pg_catalog.pg_is_in_recovery()
)
SELECT pg_catalog.format(
    'the standby %s has yet to replay %s of the log; what the migration writes comes on top',
    coalesce(nullif(r.application_name, ''), r.client_addr::text, 'without a name'),
    pg_catalog.pg_size_pretty(pg_catalog.pg_wal_lsn_diff(written.lsn, r.replay_lsn))) AS warning
FROM written, pg_catalog.pg_stat_replication r
WHERE pg_catalog.pg_wal_lsn_diff(written.lsn, r.replay_lsn) > $1::bigint
UNION ALL
SELECT pg_catalog.format(
    'nobody reads from the replication slot %s, which keeps %s of the log on the server''s disk, and all that the migration '
    'writes; let its reader come back, or drop the slot',
    s.slot_name, pg_catalog.pg_size_pretty(pg_catalog.pg_wal_lsn_diff(written.lsn, s.restart_lsn)))
FROM written, pg_catalog.pg_replication_slots s
WHERE NOT s.active AND pg_catalog.pg_wal_lsn_diff(written.lsn, s.restart_lsn) > $1::bigint
UNION ALL
SELECT pg_catalog.format(
    'the log has not been archived since %s: the server could not archive %s; what the migration writes stays on its disk',
    coalesce(pg_catalog.date_trunc('second', a.last_archived_time)::text, 'the beginning'), a.last_failed_wal)
FROM written, pg_catalog.pg_stat_archiver a
WHERE a.last_failed_time > coalesce(a.last_archived_time, '-infinity')
  AND pg_catalog.current_setting('archive_mode') <> 'off'";

#[cfg(test)]
mod tests {
    use stopover_cluster::{Cluster, TestDatabase};
    use stopover_model::event::StepKind;

    use super::*;
    use crate::postgres::{Purpose, SessionName};
    use crate::testing::context;

    #[tokio::test]
    async fn what_keeps_the_log_on_the_disk_is_said() {
        let cluster = Cluster::builder()
            .setting("archive_mode", "on")
            .setting("archive_command", "false")
            .start()
            .await;
        let cluster = cluster.unwrap();
        let database = TestDatabase::create(&cluster).await.unwrap();
        let context = context(database.url(), StepKind::Inspect);
        let purpose = Purpose::reading(&SessionName::of(&context));
        let session = context.database.connect(&purpose).await.unwrap();
        assert_eq!(warnings(&session).await.unwrap(), Vec::<String>::new());

        let client = database.client().await.unwrap();
        client.batch_execute("SELECT pg_create_physical_replication_slot('lonely', true)").await.unwrap();
        client
            .batch_execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS a; SELECT pg_switch_wal()")
            .await
            .unwrap();
        let far = warnings(&session).await.unwrap();
        assert!(!far.iter().any(|warning| warning.contains("lonely")), "not far enough: {far:?}");

        // The server tells of a failure when it has had one.
        loop {
            let found = behind(&session, 0).await.unwrap();
            assert!(found[0].starts_with("nobody reads from the replication slot lonely"), "{found:?}");
            if let Some(archive) = found.get(1) {
                assert!(
                    archive.starts_with("the log has not been archived since the beginning"),
                    "{archive}"
                );
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}
