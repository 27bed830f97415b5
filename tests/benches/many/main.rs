//! 500 small migrations on a fresh database, and then the run that finds nothing left to do: beside psql in one session
//! and other tools of the field, pair by pair in one run on one durable cluster.
//!
//! Run it with `tests/bench many`, which builds everything in release mode first. It asserts nothing about time: machines
//! are shared and noisy, and what counts is the ratio to what is measured beside it. `STOPOVER_BENCH_MIGRATIONS` and
//! `STOPOVER_BENCH_PAIRS` change the numbers. `STOPOVER_BENCH_FLUSH_MS` makes every
//! flush to the disk so much slower: machines differ in that more than in anything else. Tools that are neither on the PATH nor can be installed are left out.

mod figures;
mod migrations;
mod place;
mod slow_disk;
mod tools;

use std::time::{Duration, Instant};

use stopover_cluster::{Cluster, TestDatabase};
use stopover_tests::Stack;
use stopover_tests::bench::{number, say};
use stopover_tests::stack::AgentOptions;

use figures::{Row, table};
use migrations::Written;
use place::Place;
use tools::Tool;

const MIGRATIONS: usize = 500;
const PAIRS: usize = 5;

fn main() {
    slow_disk::begin();
    compare();
}

#[tokio::main]
async fn compare() {
    let count = number("STOPOVER_BENCH_MIGRATIONS", MIGRATIONS);
    let pairs = number("STOPOVER_BENCH_PAIRS", PAIRS);
    let cluster = Cluster::builder().name("bench").durable(true).start().await.expect("a cluster");
    let database = TestDatabase::create(&cluster).await.expect("a database");
    let mut stack = Stack::start().await;
    let place = Place::new(&cluster, database.name());
    stack.environment_on("staging", database, AgentOptions::default()).await;
    stack.pipeline("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n").await;
    let written = Written::new(stack.directory(), count);
    let tools = tools::found();
    let ours = Ours { stack: &stack, directory: written.dbmate.display().to_string() };

    let mut rows = rows(&tools);
    let mut plans = Vec::new();
    for pair in 0..pairs {
        say(&format!("pair {} of {pairs}: {count} migrations", pair + 1));
        // Who comes behind others finds the disk as they have left it: everybody comes first once.
        for turn in 0..=tools.len() {
            place.fresh(&cluster).await;
            let row = &mut rows[(turn + pair) % (tools.len() + 1)];
            let tool = tools.iter().find(|tool| tool.name() == row.name());
            match tool {
                None => row.fresh.push(ours.deploy().await),
                Some(tool) => row.fresh.push(timed(|| tool.run(&place, &written))),
            }
            assert_eq!(place.tables(&cluster).await, written.tables, "{} did all of it", row.name());
            match tool {
                None => {
                    row.again.push(ours.deploy().await);
                    plans.push(ours.plan().await);
                }
                Some(tool) if tool.has_no_op() => row.again.push(timed(|| tool.run(&place, &written))),
                Some(_) => {}
            }
        }
        let select = rows.last_mut().expect("the last row is the yardstick's");
        select.again.push(timed(|| place.select_one()));
    }
    table(&rows);
    figures::ratios(&rows, &plans);
}

/// Ours first, the yardstick of a run without work last.
fn rows(tools: &[Tool]) -> Vec<Row> {
    let names = tools.iter().map(Tool::name);
    ["stopover deploy"].into_iter().chain(names).chain([figures::SELECT_ONE]).map(Row::new).collect()
}

struct Ours<'a> {
    stack: &'a Stack,
    directory: String,
}

impl Ours<'_> {
    async fn deploy(&self) -> Duration {
        self.run(&["deploy", &self.directory]).await
    }

    async fn plan(&self) -> Duration {
        self.run(&["plan", &self.directory]).await
    }

    async fn run(&self, args: &[&str]) -> Duration {
        let begun = Instant::now();
        self.stack.cli.ok(args).await;
        begun.elapsed()
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}
