//! One stage over many real databases of one cluster, on two agents: one of the databases is down, one fails, one is slow,
//! and an agent is killed in the middle of a wave.
//!
//! `STOPOVER_FLEET=300` makes it that many databases, with a real backup of each.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;
use stopover_cluster::Cluster;
use stopover_tests::{Stack, eventually};

use crate::support::{Running, assert_contiguous, log, number};

const FEW: usize = 60;
const FAILS: &str = "t017";
const SLOW: &str = "t023";
const DOWN: &str = "t041";

const MIGRATION: &str = "ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0);
INSERT INTO effect SELECT 1 FROM pace, LATERAL pg_sleep(seconds);";

fn name(n: usize) -> String {
    format!("t{n:03}")
}

/// Databases made from a template; one with a row that the migration refuses, one that takes its time.
async fn databases(cluster: &Cluster, count: usize) {
    let admin = cluster.client("postgres").await.unwrap();
    admin.batch_execute("CREATE DATABASE tenant").await.unwrap();
    let template = cluster.client("tenant").await.unwrap();
    let tables = "CREATE TABLE t (id int); CREATE TABLE effect (n int); CREATE TABLE pace (seconds float8);
                  INSERT INTO t VALUES (1), (2); INSERT INTO pace VALUES (0.05)";
    template.batch_execute(tables).await.unwrap();
    drop(template);
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'tenant'";
    eventually("the template's last session", || async { (number(&admin, idle).await == 0).then_some(()) })
        .await;
    for n in 0..count {
        let create = format!("CREATE DATABASE {} TEMPLATE tenant", name(n));
        admin.batch_execute(&create).await.unwrap();
    }
    let fails = cluster.client(FAILS).await.unwrap();
    fails.batch_execute("INSERT INTO t VALUES (-1)").await.unwrap();
    let slow = cluster.client(SLOW).await.unwrap();
    slow.batch_execute("UPDATE pace SET seconds = 6").await.unwrap();
}

/// Tables of an agent.toml for some of them.
fn tables(
    cluster: &Cluster,
    stack: &Stack,
    numbers: impl Iterator<Item = usize>,
    real_backups: bool,
) -> String {
    let password = stack.directory().join("fleet-password");
    std::fs::write(&password, cluster.password()).unwrap();
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut text = String::new();
    if !real_backups {
        text.push_str("[backup]\ncommand = [\"/bin/true\"]\n");
    }
    for n in numbers {
        let name = name(n);
        let port = if name == DOWN { 1 } else { cluster.port() };
        let tier = if n == 5 { "canary" } else { "tenant" };
        write!(
            text,
            "\n[[database]]\nname = \"{name}\"\nurl = \"postgresql://postgres@127.0.0.1:{port}/{name}\"\n\
             password_file = \"{}\"\nlabels = {{ tier = \"{tier}\" }}\n",
            password.display()
        )
        .unwrap();
    }
    text
}

fn migrated(records: &[Value]) -> usize {
    let is = |r: &&Value| {
        let event = &r["event"];
        event["event"] == "step_finished"
            && event["step"]["kind"] == "migrate"
            && event["outcome"]["outcome"] == "succeeded"
    };
    records.iter().filter(is).count()
}

fn is_paused(record: &Value) -> bool {
    record["event"]["event"] == "paused"
}

#[tokio::test]
async fn a_wave_bears_what_fails_and_loses_nobody() {
    let many: Option<usize> = std::env::var("STOPOVER_FLEET").ok().and_then(|n| n.parse().ok());
    let count = many.unwrap_or(FEW).max(FEW);
    let cluster = Cluster::builder().name("fleet").start().await.unwrap();
    databases(&cluster, count).await;
    let mut stack = Stack::start().await;
    stack.cli.ok(&["environment", "create", "production"]).await;
    let even = tables(&cluster, &stack, (0..count).filter(|n| n % 2 == 0), many.is_some());
    let odd = tables(&cluster, &stack, (0..count).filter(|n| n % 2 == 1), many.is_some());
    stack.another_agent("production", "even", &even).await;
    let odd = stack.another_agent("production", "odd", &odd).await;
    let pipeline = "name = \"fleet\"\n[[stage]]\nenvironment = \"production\"\nsample = false\n\
                    waves = [\"canary:tier=canary\", \"25%\", \"100%\"]\nmax_parallel = 12\nmax_failures = 2\n";
    stack.pipeline(pipeline).await;
    let migration = stack.migration("001_positive", &[("up.sql", MIGRATION)]);

    let mut running = Running::deploy(&stack, &migration);
    let id = running.id().await;
    running.until("some databases", |_| migrated(&running.records()) >= 20).await;
    stack.kill_agent(odd);
    tokio::time::sleep(Duration::from_secs(1)).await;
    stack.start_agent(odd);

    // All others are through; the one that fails and the one that is down are waited for, by name.
    let paused = running.until("the end of all others", is_paused).await;
    let cause = paused["event"]["cause"].as_str().unwrap().to_owned();
    assert!(cause.starts_with(&format!("2 of {count} databases failed")), "{cause}");
    assert!(cause.contains(FAILS) && cause.contains(DOWN), "{cause}");
    let first = running.records().into_iter().find(|r| r["event"]["event"] == "step_started").unwrap();
    assert_eq!(first["event"]["step"]["database"], "t005", "the canary is first");
    let shown = stack.cli.ok(&["status", &id]).await;
    for expected in ["canary:tier=canary  1 of 1 through", "25%", "2 failed", FAILS, DOWN, "positive"] {
        assert!(shown.contains(expected), "{expected} is missing:\n{shown}");
    }
    assert!(shown.lines().count() < 60, "{shown}");

    // Each is dealt with by itself.
    let fails = cluster.client(FAILS).await.unwrap();
    fails.batch_execute("DELETE FROM t WHERE id < 0").await.unwrap();
    let refused = stack.cli.run(&["resume", &id, "--database", SLOW]).await;
    assert!(refused.code != 0 && refused.stderr.contains("nothing has failed in t023"), "{}", refused.stderr);
    stack.cli.ok(&["resume", &id, "--database", FAILS]).await;
    running
        .until("the one that is left", |r| {
            is_paused(r) && r["event"]["cause"].as_str().unwrap().starts_with("1 of")
        })
        .await;
    let leave = ["resume", &id, "--leave-out", DOWN, "--reason", "the tenant has gone"];
    stack.cli.ok(&leave).await;
    assert_eq!(running.ended().await, 0, "{}", stack.agents[odd].log());
    let shown = stack.cli.ok(&["status", &id, "--database", DOWN]).await;
    assert!(shown.contains("left out by admin: the tenant has gone"), "{shown}");

    assert_contiguous(&log(&stack.cli, &id).await);
    for n in (0..count).filter(|n| name(*n) != DOWN) {
        let client = cluster.client(&name(n)).await.unwrap();
        assert_eq!(
            number(&client, "SELECT count(*) FROM effect").await,
            1,
            "{} has its effect once",
            name(n)
        );
    }
}
