//! What a statement really does, seen from inside its own transaction.

use std::collections::{BTreeMap, BTreeSet};

use stopover_model::impact::LockMode;

use crate::support::Bench;

#[derive(Debug, Default)]
pub(super) struct Observed {
    /// The strongest on each table or view that was there before.
    pub(super) locks: BTreeMap<String, LockMode>,
    pub(super) rewritten: BTreeSet<String>,
    pub(super) scanned: BTreeSet<String>,
    pub(super) fired: BTreeSet<String>,
}

/// Runs it and takes it back.
pub(super) async fn run(bench: &Bench, sql: &str) -> Result<Observed, String> {
    let client = &bench.client;
    bench.execute("BEGIN; CREATE TEMP TABLE before ON COMMIT DROP AS SELECT oid, oid::regclass::text AS name, relfilenode, pg_stat_get_xact_numscans(oid) AS scans FROM pg_class WHERE relkind IN ('r', 'p', 'm', 'v') AND relnamespace IN ('public'::regnamespace, 'app'::regnamespace) AND relname <> 'fired'").await;
    if let Err(error) = client.batch_execute(sql).await {
        bench.execute("ROLLBACK").await;
        let missing = error.code().is_some_and(|code| code.code() == "42P01") && sql.contains("no_such");
        return if missing { Ok(Observed::default()) } else { Err(format!("{sql}: {error:?}")) };
    }
    let mut observed = Observed::default();
    let locks = "SELECT b.name, l.mode FROM pg_locks l JOIN before b ON b.oid = l.relation
        WHERE l.locktype = 'relation' AND l.pid = pg_backend_pid() AND l.granted";
    for row in client.query(locks, &[]).await.unwrap() {
        let mode = mode(row.get(1));
        let known = observed.locks.entry(row.get(0)).or_insert(mode);
        *known = mode.max(*known);
    }
    let names = async |sql: &str| -> BTreeSet<String> {
        client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    observed.rewritten = names(
        "SELECT b.name FROM before b JOIN pg_class c ON c.oid = b.oid WHERE c.relfilenode <> b.relfilenode",
    )
    .await;
    observed.scanned = names("SELECT name FROM before WHERE pg_stat_get_xact_numscans(oid) > scans").await;
    observed.fired = names("SELECT name FROM public.fired").await;
    bench.execute("ROLLBACK").await;
    Ok(observed)
}

/// As `pg_locks` calls it: `AccessExclusiveLock`.
pub(super) fn mode(name: &str) -> LockMode {
    let called = |mode: &LockMode| format!("{}Lock", mode.name().replace(' ', "")).eq_ignore_ascii_case(name);
    LockMode::ALL.into_iter().find(called).unwrap()
}
