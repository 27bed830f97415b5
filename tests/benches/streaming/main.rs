//! A backup into a bucket beside one into a directory, of the same data in one run; and the most memory that the agent
//! has used, which must not depend on how much it backs up.
//!
//! Run it with `tests/bench`, which builds everything in release mode first. It asserts nothing about time. The bucket is of an
//! S3 server in this process, so that both sides share the machine's processors: a real one's work is done elsewhere. It keeps
//! objects in memory as they come; what it has used of the processors all the same is shown, and the ratio without it, as if
//! it had kept all of them from the agent.

mod memory;

use std::time::{Duration, Instant};

use memory::MemoryStore;
use stopover_cluster::{Cluster, TestDatabase, seed};
use stopover_tests::Stack;
use stopover_tests::bench::{Spread, large_cluster, number, peak, processor, ratio, say, spread_of};
use stopover_tests::s3::Served;
use stopover_tests::stack::AgentOptions;

/// Pairs that count; one more goes before them.
const PAIRS: usize = 5;
/// About a gigabyte of them.
const ROWS: u64 = 5_000_000;

#[tokio::main]
async fn main() {
    let (rows, pairs) = (number("STOPOVER_BENCH_ROWS", ROWS), number("STOPOVER_BENCH_PAIRS", PAIRS));
    let cluster = large_cluster().start().await.expect("a cluster");
    let store = Served::start(MemoryStore::default()).await;
    let local = stack(&cluster, rows, String::new()).await;
    let bucket = format!("destination = \"s3://backups/bench\"\n[backup.options]\n{}", store.options());
    let remote = stack(&cluster, rows, bucket).await;

    // This process is the object store: everything else here waits.
    let used = || processor(std::process::id());
    let cores = std::thread::available_parallelism().expect("the number of processors").get();
    let (mut there, mut here, mut store_used, mut elsewhere) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for n in 0..=pairs {
        let before = used();
        let ours = backup(&remote, n).await;
        let store = used().saturating_sub(before);
        let theirs = backup(&local, n).await;
        if n > 0 {
            elsewhere.push(ours.saturating_sub(store / u32::try_from(cores).expect("processors")));
            there.push(ours);
            store_used.push(store);
            here.push(theirs);
        }
    }
    let ratios = |bucket: &[Duration]| Spread::text(bucket.iter().zip(&here).map(|(a, b)| ratio(*a, *b)), 2);
    say(&format!("into a bucket: {}", spread_of(&there)));
    say(&format!("of it the object store's own processor time: {}", spread_of(&store_used)));
    say(&format!("into a directory: {}", spread_of(&here)));
    say(&format!("ratio, pair by pair: {}   (goal: at most 1.10)", ratios(&there)));
    say(&format!("the same without the object store's share of {cores} processors: {}", ratios(&elsewhere)));
    for (name, stack) in [("bucket", &remote), ("directory", &local)] {
        let agent = stack.agents[0].process.as_ref().expect("the agent");
        say(&format!("most memory of the agent, {name}: {} MB   (goal: under 100)", peak(agent.id())));
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
