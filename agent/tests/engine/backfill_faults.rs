//! A backfill killed again and again: its agent, its server processes, the whole server. Each row is touched once.
//!
//! The ordinary suite kills a few times in a small table. The long form, 400,000 rows in every round:
//!
//! ```text
//! STOPOVER_FAULT_ROUNDS=200 cargo nextest run --profile faults -p stopover-agent backfill_faults::
//! ```

use std::time::Duration;

use stopover_cluster::Cluster;
use stopover_model::report::Outcome;
use tokio_postgres::Client;

use crate::support::*;

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// Its task is dropped with its sockets; another begins with the next epoch.
    Agent,
    Backend,
    Postmaster,
}

const KILLS: [Kill; 3] = [Kill::Agent, Kill::Backend, Kill::Postmaster];

struct Size {
    rounds: u32,
    rows: u32,
    /// In each round.
    kills: usize,
}

fn size() -> Size {
    match std::env::var("STOPOVER_FAULT_ROUNDS") {
        Ok(rounds) => Size { rounds: rounds.parse().expect("a number of rounds"), rows: 400_000, kills: 3 },
        Err(_) => Size { rounds: 1, rows: 30_000, kills: 3 },
    }
}

#[tokio::test]
async fn whatever_is_killed_each_row_is_touched_once() {
    let size = size();
    // Without durable commits a killed server would forget what it had promised.
    let cluster =
        Cluster::builder().name("killed").durable(true).setting("autovacuum", "off").start().await.unwrap();
    let bench = Bench::on(&cluster).await;
    for round in 0..size.rounds {
        fill(&fresh(&bench).await, size.rows).await;
        let migration = migration(
            &format!("{round:03}_round"),
            &[(
                "up.sql",
                "-- stopover: backfill batch_time=20ms\nUPDATE users SET done = true WHERE done IS NULL",
            )],
        );
        let mut running = bench.spawn(&migration);
        for number in 0..size.kills {
            let kill = KILLS[(round as usize + number) % KILLS.len()];
            // After another share of the rows each time, so that the kill falls somewhere else in a batch.
            let share = u64::from(size.rows) * (number as u64 + 1) / (size.kills as u64 + 1);
            if !reached(&bench, &migration.id.to_string(), share, &running).await {
                break;
            }
            match kill {
                Kill::Agent => {
                    running.outcome.abort();
                    running = bench.spawn(&migration);
                }
                Kill::Backend => kill_backend(&fresh(&bench).await).await,
                Kill::Postmaster => {
                    cluster.kill9().await.unwrap();
                    cluster.start_again().await.unwrap();
                }
            }
        }
        // An attempt may give up when its database was away for long; the next one goes on, as the server would have it.
        let mut outcome = running.end().await;
        for _ in 0..3 {
            if matches!(outcome, Outcome::Succeeded { .. }) {
                break;
            }
            outcome = bench.spawn(&migration).end().await;
        }
        applied(outcome);
        let client = fresh(&bench).await;
        let once = format!("SELECT count(*) FILTER (WHERE done AND changes = 1) = {} FROM users", size.rows);
        assert_eq!(value(&client, &once).await, "t", "round {round}");
        let rows = format!("SELECT rows FROM stopover.statement WHERE migration = '{}'", migration.id);
        assert_eq!(value(&client, &rows).await, size.rows.to_string(), "round {round}");
        let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'stopover/%'";
        until("no session of ours is left", || async { value(&client, left).await == "0" }).await;
        eprintln!("round {} of {}: each of {} rows once", round + 1, size.rounds, size.rows);
    }
}

/// A connection that has not been killed.
async fn fresh(bench: &Bench) -> Client {
    bench.test.client().await.unwrap()
}

async fn fill(client: &Client, rows: u32) {
    let sql = format!(
        "DROP TABLE IF EXISTS users; \
         CREATE TABLE users (id bigint PRIMARY KEY, done boolean, changes int NOT NULL DEFAULT 0, fill text); \
         INSERT INTO users SELECT i, NULL, 0, repeat('x', 100) FROM generate_series(1, {rows}) i; \
         CREATE OR REPLACE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN NEW.changes := OLD.changes + 1; RETURN NEW; END'; \
         CREATE TRIGGER count_change BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION count_change(); ANALYZE users"
    );
    client.batch_execute(&sql).await.unwrap();
}

/// Waits until so many rows are done; false when the backfill was faster.
async fn reached(bench: &Bench, id: &str, rows: u64, running: &Running) -> bool {
    let client = fresh(bench).await;
    let there = "SELECT to_regclass('stopover.backfill') IS NOT NULL";
    let done =
        format!("SELECT coalesce(sum(rows), 0) >= {rows} FROM stopover.backfill WHERE migration = '{id}'");
    let what = std::fmt::from_fn(|f| {
        write!(f, "{rows} rows of {id} are done; it says {:?}", shown(&running.reporter))
    });
    until_within(LONG, what, || async {
        running.outcome.is_finished()
            || value(&client, there).await == "t" && value(&client, &done).await == "t"
    })
    .await;
    !running.outcome.is_finished()
}

/// The working one, in the middle of whatever it does.
async fn kill_backend(client: &Client) {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name LIKE 'stopover/%' AND query NOT LIKE 'SELECT ARRAY%'";
    let _ = tokio::time::timeout(Duration::from_secs(5), value(client, sql)).await;
}
