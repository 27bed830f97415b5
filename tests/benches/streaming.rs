//! A backup into a bucket beside one into a directory, of the same data in one run; and the most memory that the agent
//! has used, which must not depend on how much it backs up.
//!
//! Run it with `tests/bench`, which builds everything in release mode first. It asserts nothing about time. The bucket is of an
//! S3 server in this process, so that both sides share the machine's processors.

use std::time::{Duration, Instant};

use stopover_cluster::{Cluster, TestDatabase, seed};
use stopover_tests::bench::{large_cluster, number, peak, say, spread_of};
use stopover_tests::stack::AgentOptions;
use stopover_tests::{ObjectStore, Stack};

/// Pairs that count; one more goes before them.
const PAIRS: usize = 5;
/// About a gigabyte of them.
const ROWS: u64 = 5_000_000;

#[tokio::main]
async fn main() {
    let (rows, pairs) = (number("STOPOVER_BENCH_ROWS", ROWS), number("STOPOVER_BENCH_PAIRS", PAIRS));
    let cluster = large_cluster().start().await.expect("a cluster");
    let store = ObjectStore::start().await;
    let local = stack(&cluster, rows, String::new()).await;
    let bucket = format!("destination = \"s3://backups/bench\"\n[backup.options]\n{}", store.options());
    let remote = stack(&cluster, rows, bucket).await;

    let (mut there, mut here) = (Vec::new(), Vec::new());
    for n in 0..=pairs {
        let (ours, theirs) = (backup(&remote, n).await, backup(&local, n).await);
        if n > 0 {
            there.push(ours);
            here.push(theirs);
        }
    }
    let mut ratios: Vec<f64> =
        there.iter().zip(&here).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    say(&format!("into a bucket: {}", spread_of(&there)));
    say(&format!("into a directory: {}", spread_of(&here)));
    say(&format!("ratio, pair by pair: median {:.2}   (goal: at most 1.10)", ratios[pairs / 2]));
    for (name, stack) in [("bucket", &remote), ("directory", &local)] {
        let agent = stack.agents[0].process.as_ref().expect("the agent");
        say(&format!("most memory of the agent, {name}: {} MB   (goal: under 100)", peak(agent)));
    }
}

/// A server, and an agent with a database of its own.
async fn stack(cluster: &Cluster, rows: u64, backup: String) -> Stack {
    let database = TestDatabase::create(cluster).await.expect("a database");
    let client = database.client().await.expect("a connection");
    seed::users(&client, rows, 1).await.expect("users");
    let mut stack = Stack::start().await;
    stack.environment_on("staging", database, AgentOptions { backup, ..AgentOptions::default() }).await;
    stack.pipeline("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nbackup = \"decoded\"\n").await;
    stack
}

/// A deployment that does nearly nothing but its backup.
async fn backup(stack: &Stack, n: usize) -> Duration {
    let up = format!("CREATE TABLE bench_{n} (a int);");
    let directory = stack.migration(&format!("{n:03}_bench"), &[("up.sql", &up)]);
    let begun = Instant::now();
    stack.cli.ok(&["deploy", &directory]).await;
    begun.elapsed()
}
