//! A proven backup beside PostgreSQL's own programs, of the same data in one run: `restored` (hashes and all) beside a bare
//! `pg_dump -Fc` and `pg_restore`, and `recorded` beside `pg_dump -Fc`; and the most memory that the agent has used.
//!
//! Run it with `tests/bench`, which builds everything in release mode first. It asserts nothing about time.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use stopover_cluster::{Cluster, TestDatabase, seed};
use stopover_tests::Stack;
use stopover_tests::bench::{large_cluster, number, peak, say, spread_of};
use stopover_tests::stack::AgentOptions;

/// Pairs that count; one more goes before them.
const PAIRS: usize = 5;
const ROWS: u64 = 1_000_000;

#[tokio::main]
async fn main() {
    let (rows, pairs) = (number("STOPOVER_BENCH_ROWS", ROWS), number("STOPOVER_BENCH_PAIRS", PAIRS));
    let cluster = large_cluster().start().await.expect("a cluster");
    let mut stack = Stack::start().await;
    let database = TestDatabase::create(&cluster).await.expect("a database");
    seed::users(&database.client().await.expect("a connection"), rows, 1).await.expect("users");
    let name = database.name().to_owned();
    stack.environment_on("staging", database, AgentOptions::default()).await;
    for (level, goal) in [("restored", 1.15), ("recorded", 0.6)] {
        stack
            .pipeline(&format!("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nbackup = \"{level}\"\n"))
            .await;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for n in 0..=pairs {
            let own = backup(&stack, &format!("{level}_{n}")).await;
            let bare = bare(&cluster, &name, stack.directory(), level == "restored").await;
            if n > 0 {
                ours.push(own);
                theirs.push(bare);
            }
        }
        let mut ratios: Vec<f64> =
            ours.iter().zip(&theirs).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        say(&format!("{level}: {}", spread_of(&ours)));
        say(&format!("PostgreSQL's own programs: {}", spread_of(&theirs)));
        say(&format!("ratio, pair by pair: median {:.2}   (goal: at most {goal})", ratios[pairs / 2]));
    }
    let agent = stack.agents[0].process.as_ref().expect("the agent");
    say(&format!("most memory of the agent: {} MB   (goal: under 100)", peak(agent.id())));
}

/// What the backup step of a deployment that does nearly nothing else says that it took.
async fn backup(stack: &Stack, name: &str) -> Duration {
    let up = format!("CREATE TABLE bench_{name} ();");
    let directory = stack.migration(&format!("bench_{name}"), &[("up.sql", &up)]);
    let finished = stack.cli.run(&["--json", "deploy", &directory]).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let records: Vec<Value> = finished.json();
    let time = |kind: &str| {
        let of_backup = |r: &&Value| r["event"]["event"] == kind && r["event"]["step"]["kind"] == "backup";
        let at = records.iter().find(of_backup).and_then(|r| r["at"].as_str()).expect("a time");
        at.parse::<jiff::Timestamp>().expect("a time")
    };
    Duration::try_from(time("step_finished").duration_since(time("step_started"))).expect("not negative")
}

/// `pg_dump -Fc` into a file, and `pg_restore` into a new database where that is what is compared with.
async fn bare(cluster: &Cluster, name: &str, directory: &Path, restore: bool) -> Duration {
    let file = directory.join("bare.dump");
    let copy = format!("{name}_copy");
    if restore {
        cluster.create_database(&copy).await.expect("a database");
    }
    let begun = Instant::now();
    run(cluster, Command::new("pg_dump").args(["-Fc", "-f"]).arg(&file).args(["-d", name]));
    if restore {
        run(cluster, Command::new("pg_restore").args(["--exit-on-error", "-d", &copy]).arg(&file));
    }
    let took = begun.elapsed();
    if restore {
        let client = cluster.client("postgres").await.expect("a connection");
        client.batch_execute(&format!("DROP DATABASE {copy} WITH (FORCE)")).await.expect("it goes");
    }
    fs::remove_file(&file).expect("the file goes");
    took
}

fn run(cluster: &Cluster, command: &mut Command) {
    let place = [("PGHOST", "127.0.0.1".to_owned()), ("PGPORT", cluster.port().to_string())];
    let user = [("PGUSER", "postgres".to_owned()), ("PGPASSWORD", cluster.password().to_owned())];
    let status = command.envs(place).envs(user).status().expect("PostgreSQL's programs");
    assert!(status.success(), "{status}");
}
