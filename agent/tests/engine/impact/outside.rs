//! Statements that can't run in a transaction: somebody is in their way, and what they wait for tells what they lock.

use std::collections::BTreeMap;

use stopover_model::impact::LockMode;

use super::{SCHEMA, predicted};
use crate::support::{Bench, until, value};

/// Each with the table on which it is stopped.
const CORPUS: [(&str, &str); 9] = [
    ("CREATE INDEX CONCURRENTLY i ON users (small)", "users"),
    ("CREATE UNIQUE INDEX CONCURRENTLY j ON orders (id)", "orders"),
    ("DROP INDEX CONCURRENTLY users_email", "users"),
    ("REINDEX TABLE CONCURRENTLY orders", "orders"),
    ("REINDEX INDEX CONCURRENTLY users_at", "users"),
    ("VACUUM users", "users"),
    ("VACUUM FULL orders", "orders"),
    ("VACUUM (ANALYZE) notes", "notes"),
    ("ALTER TABLE regions DETACH PARTITION regions_3 CONCURRENTLY", "regions"),
];

#[tokio::test]
async fn what_commits_in_between_asks_for_the_lock_that_is_predicted() {
    let bench = Bench::new().await;
    bench.execute(SCHEMA).await;
    // Nothing may point to a table whose partition is detached concurrently, nor may it have a default partition.
    bench.execute("ALTER TABLE shops DROP CONSTRAINT shops_region").await;
    let mut wrong = Vec::new();
    for (sql, table) in CORPUS {
        let impact = predicted(&bench, sql).await;
        let said: BTreeMap<&str, LockMode> = impact
            .locks
            .iter()
            .map(|lock| (lock.relation.trim_start_matches("public."), lock.mode))
            .collect();
        let seen = asked_for(&bench, sql, table).await;
        if said.get(table) != Some(&seen) {
            wrong.push(format!("{sql}: {seen} was asked for, {said:?} predicted"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lock that it waits for beside somebody who is in the way of all but readers and writers.
async fn asked_for(bench: &Bench, sql: &'static str, table: &str) -> LockMode {
    bench.execute(&format!("BEGIN; LOCK TABLE ONLY {table} IN SHARE UPDATE EXCLUSIVE MODE")).await;
    let other = bench.test.client().await.unwrap();
    let pid = value(&other, "SELECT pg_backend_pid()").await;
    let running = tokio::spawn(async move { other.batch_execute(sql).await });
    let waiting = format!(
        "SELECT coalesce(max(mode), '') FROM pg_locks WHERE pid = {pid} AND NOT granted AND relation = '{table}'::regclass"
    );
    until(&format!("{sql} waits for {table}"), || async { !bench.value(&waiting).await.is_empty() }).await;
    let mode = super::observe::mode(&bench.value(&waiting).await);
    bench.execute("ROLLBACK").await;
    running.await.unwrap().unwrap();
    mode
}
