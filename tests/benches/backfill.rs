//! A backfill of a million rows: ours beside a plpgsql loop of ranges of 10,000 rows with a COMMIT behind each, which is
//! what people write by hand, beside a loop of `id IN (SELECT ... LIMIT)`, and beside one UPDATE of all. Each on a table of its own, side by side in one run.
//!
//! Run it with `tests/bench backfill`. It asserts nothing about time; what counts are the ratios of the pairs.
//! `STOPOVER_BENCH_ROWS` and `STOPOVER_BENCH_PAIRS` change the numbers.

use std::time::{Duration, Instant};

use stopover_cluster::{TestDatabase, seed};
use stopover_tests::Stack;
use stopover_tests::bench::{Spread, large_cluster, number, ratio, say};
use stopover_tests::stack::AgentOptions;
use tokio_postgres::Client;

const ROWS: u64 = 1_000_000;
const PAIRS: usize = 5;

#[tokio::main]
async fn main() {
    let (rows, pairs) = (number("STOPOVER_BENCH_ROWS", ROWS), number("STOPOVER_BENCH_PAIRS", PAIRS));
    let cluster = large_cluster().setting("autovacuum", "off").start().await.expect("a cluster");
    let database = TestDatabase::create(&cluster).await.expect("a database");
    let client = database.client().await.expect("a connection");
    let mut stack = Stack::start().await;
    stack.environment_on("staging", database, AgentOptions::default()).await;
    let pipeline = |name: &str| format!("name = \"{name}\"\n[[stage]]\nenvironment = \"staging\"\n");
    stack.pipeline(&pipeline("p")).await;
    stack.pipeline(&format!("{}[stage.backfill]\nvacuum = \"off\"\n", pipeline("unvacuumed"))).await;
    let (mut ours, mut two, mut loops) = (Vec::new(), Vec::new(), Vec::new());
    // Of the others none vacuums.
    let mut dead = Vec::new();
    let (mut limits, mut whole) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        fresh(&client, rows).await;
        ours.push(backfill(&stack, &client, "p", &format!("{pair}_one"), "").await);
        fresh(&client, rows).await;
        dead.push(backfill(&stack, &client, "unvacuumed", &format!("{pair}_dead"), "").await);
        fresh(&client, rows).await;
        loops.push(run(&client, LOOP).await);
        fresh(&client, rows).await;
        limits.push(run(&client, LIMITS).await);
        fresh(&client, rows).await;
        two.push(backfill(&stack, &client, "p", &format!("{pair}_two"), "workers=2").await);
        fresh(&client, rows).await;
        whole.push(run(&client, "UPDATE users SET seen = true WHERE seen IS NULL").await);
    }
    report("ours", rows, &ours, &loops);
    report("ours, vacuum = \"off\"", rows, &dead, &loops);
    report("ours, two workers", rows, &two, &loops);
    report("plpgsql loop of 10,000", rows, &loops, &loops);
    report("plpgsql loop of id IN (SELECT ... LIMIT)", rows, &limits, &loops);
    report("one UPDATE", rows, &whole, &loops);
}

/// The table as it was before any backfill.
async fn fresh(client: &Client, rows: u64) {
    client.batch_execute("DROP TABLE IF EXISTS users CASCADE").await.expect("no table");
    seed::users(client, rows, 1).await.expect("users");
    for sql in ["ALTER TABLE users ADD COLUMN seen boolean", "VACUUM ANALYZE users", "CHECKPOINT"] {
        client.batch_execute(sql).await.expect("a column");
    }
}

/// How long the statement itself took, by the ledger: what comes with a deployment is measured elsewhere.
async fn backfill(stack: &Stack, client: &Client, pipeline: &str, name: &str, options: &str) -> Duration {
    let up = format!("-- stopover: backfill {options}\nUPDATE users SET seen = true WHERE seen IS NULL;");
    let id = format!("bench_{name}");
    stack.cli.ok(&["deploy", &stack.migration(&id, &[("up.sql", &up)]), "--pipeline", pipeline]).await;
    let left: i64 =
        client.query_one("SELECT count(*) FROM users WHERE seen IS NULL", &[]).await.expect("a count").get(0);
    assert_eq!(left, 0, "the backfill is not complete");
    let sql = "SELECT (extract(epoch FROM max(updated_at) - min(started_at)) * 1000)::bigint \
               FROM stopover.backfill WHERE migration = $1";
    let took: i64 = client.query_one(sql, &[&id]).await.expect("its times").get(0);
    Duration::from_millis(u64::try_from(took).unwrap_or_default())
}

async fn run(client: &Client, sql: &str) -> Duration {
    let began = Instant::now();
    client.batch_execute(sql).await.expect("the statement");
    began.elapsed()
}

const LOOP: &str = "DO $$
DECLARE
    low bigint := 0;
    high bigint := (SELECT max(id) FROM users);
BEGIN
    WHILE low < high LOOP
        UPDATE users SET seen = true WHERE seen IS NULL AND id BETWEEN low + 1 AND low + 10000;
        COMMIT;
        low := low + 10000;
    END LOOP;
END $$";

const LIMITS: &str = "DO $$
BEGIN
    LOOP
        UPDATE users SET seen = true WHERE id IN (SELECT id FROM users WHERE seen IS NULL LIMIT 10000);
        EXIT WHEN NOT FOUND;
        COMMIT;
    END LOOP;
END $$";

#[expect(clippy::cast_precision_loss, reason = "shown as whole rows a second")]
fn report(what: &str, rows: u64, times: &[Duration], reference: &[Duration]) {
    let rates = Spread::of(times.iter().map(|time| rows as f64 / time.as_secs_f64()));
    let ratios = Spread::of(times.iter().zip(reference).map(|(time, loops)| ratio(*loops, *time)));
    let (Some(rates), Some(Spread { least, median, most })) = (rates, ratios) else { return };
    say(&format!(
        "{what:42}{:>9.0} rows/s   {median:.2} of the loop ({least:.2} to {most:.2}, {} pairs)",
        rates.median,
        times.len()
    ));
}
