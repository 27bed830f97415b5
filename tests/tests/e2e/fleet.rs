//! One stage over many real databases of one cluster, which four agents serve, in waves: one of the databases is down, one
//! fails, one is slow, and the agent of that one is killed in the middle of the last wave.
//!
//! The long form has a few hundred databases and a real backup of each, and tries the one that is down again for a while:
//! `STOPOVER_FLEET=300 cargo nextest run --profile faults -p stopover-tests fleet::`

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use stopover_cluster::Cluster;
use stopover_tests::{Stack, eventually};

use crate::support::{Running, assert_contiguous, assert_nothing_left, log, number};

const FEW: usize = 24;
const AGENTS: usize = 4;

const MIGRATION: &str = "ALTER TABLE t ADD CONSTRAINT positive CHECK (id > 0);
INSERT INTO effect SELECT 1 FROM pace, LATERAL pg_sleep(seconds);";

/// The databases by their numbers; an agent serves each fourth.
struct Fleet {
    count: usize,
    max_parallel: usize,
    long: bool,
    /// These three are of different agents, and in the middle of the last wave.
    fails: usize,
    slow: usize,
    down: usize,
}

impl Fleet {
    fn of_environment() -> Self {
        let long: Option<usize> = std::env::var("STOPOVER_FLEET").ok().and_then(|n| n.parse().ok());
        let count = long.unwrap_or(FEW).max(FEW);
        let place = |eighths: usize, agent: usize| count * eighths / 8 / AGENTS * AGENTS + agent;
        Self {
            count,
            max_parallel: if long.is_some() { 12 } else { 3 },
            long: long.is_some(),
            fails: place(3, 1),
            slow: place(4, 3),
            down: place(5, 2),
        }
    }

    fn pipeline(&self) -> String {
        format!(
            "name = \"fleet\"\n[[stage]]\nenvironment = \"production\"\nsample = false\n\
             waves = [\"canary:1\", \"10%\", \"100%\"]\nmax_parallel = {}\nmax_failures = 2\n",
            self.max_parallel
        )
    }

    /// How many databases are in each wave: one, so many that it is a tenth, rounded up, and all others.
    fn waves(&self) -> [usize; 3] {
        let tenth = self.count.div_ceil(10);
        [1, tenth - 1, self.count - tenth]
    }

    fn served_by(&self, agent: usize) -> impl Iterator<Item = usize> {
        (agent..self.count).step_by(AGENTS)
    }

    /// Made from a template; one with a row that the migration refuses, one that takes its time.
    async fn create(&self, cluster: &Cluster) {
        let admin = cluster.client("postgres").await.unwrap();
        admin.batch_execute("CREATE DATABASE tenant").await.unwrap();
        let template = cluster.client("tenant").await.unwrap();
        let tables =
            "CREATE TABLE t (id int); CREATE TABLE effect (n int); CREATE TABLE pace (seconds float8);
                      INSERT INTO t VALUES (1), (2); INSERT INTO pace VALUES (0.05)";
        template.batch_execute(tables).await.unwrap();
        drop(template);
        let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'tenant'";
        eventually("the template's last session", || async {
            (number(&admin, idle).await == 0).then_some(())
        })
        .await;
        for n in 0..self.count {
            let create = format!("CREATE DATABASE {} TEMPLATE tenant STRATEGY file_copy", name(n));
            admin.batch_execute(&create).await.unwrap();
        }
        let fails = cluster.client(&name(self.fails)).await.unwrap();
        fails.batch_execute("INSERT INTO t VALUES (-1)").await.unwrap();
        let slow = cluster.client(&name(self.slow)).await.unwrap();
        slow.batch_execute("UPDATE pace SET seconds = 5").await.unwrap();
        if !self.long {
            let down = format!("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false", name(self.down));
            admin.batch_execute(&down).await.unwrap();
        }
    }

    /// Starts the agents; gives their places.
    async fn serve(&self, cluster: &Cluster, stack: &mut Stack) -> Vec<usize> {
        let password = stack.directory().join("fleet-password");
        std::fs::write(&password, cluster.password()).unwrap();
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut places = Vec::new();
        for agent in 0..AGENTS {
            let mut tables = String::new();
            if !self.long {
                tables.push_str("[backup]\ncommand = [\"/bin/true\"]\n");
            }
            for n in self.served_by(agent) {
                let port = if n == self.down && self.long { 1 } else { cluster.port() };
                write!(
                    tables,
                    "\n[[database]]\nname = \"{name}\"\npassword_file = \"{password}\"\n\
                     url = \"postgresql://postgres@127.0.0.1:{port}/{name}\"\n",
                    name = name(n),
                    password = password.display()
                )
                .unwrap();
            }
            places.push(stack.another_agent("production", &agent_name(agent), &tables).await);
        }
        places
    }

    /// That each wave begins when the one before is through, and that no more are under way than may be. Those whose
    /// agent is away hold nobody up.
    fn assert_in_waves(&self, records: &[Value], away: usize) {
        let starts = |wave: usize| self.waves()[..wave].iter().sum::<usize>();
        let (mut under_way, mut ended) = (BTreeSet::new(), BTreeSet::new());
        for event in records.iter().map(|r| &r["event"]).filter(|e| e["step"]["kind"] == "migrate") {
            let database: usize = event["step"]["database"].as_str().unwrap()[1..].parse().unwrap();
            if event["event"] == "step_finished" {
                under_way.remove(&database);
                ended.insert(database);
            } else if event["event"] == "step_started" {
                let wave = (0..3).rev().find(|wave| starts(*wave) <= database).unwrap();
                let before = (0..starts(wave)).find(|n| !ended.contains(n));
                assert_eq!(before, None, "{} began before its wave", name(database));
                under_way.insert(database);
                let count = under_way.iter().filter(|n| *n % AGENTS != away).count();
                assert!(count <= self.max_parallel, "{under_way:?}");
            }
        }
    }
}

fn name(n: usize) -> String {
    format!("t{n:03}")
}

fn agent_name(n: usize) -> String {
    format!("region-{n}")
}

fn is_paused(record: &Value) -> bool {
    record["event"]["event"] == "paused"
}

fn migrates(record: &Value, what: &str, n: usize) -> bool {
    let event = &record["event"];
    event["event"] == what && event["step"]["kind"] == "migrate" && event["step"]["database"] == name(n)
}

fn is_through(records: &[Value], n: usize) -> bool {
    let through =
        |r: &Value| migrates(r, "step_finished", n) && r["event"]["outcome"]["outcome"] == "succeeded";
    records.iter().any(through)
}

fn pauses(records: &[Value]) -> usize {
    records.iter().filter(|r| is_paused(r)).count()
}

fn cause_of_last_pause(records: &[Value]) -> String {
    let last = records.iter().rev().find(|r| is_paused(r)).unwrap();
    last["event"]["cause"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_wave_bears_what_fails_and_loses_nobody() {
    let fleet = Fleet::of_environment();
    let Fleet { count, fails, slow, down, .. } = fleet;
    let cluster = Cluster::builder().name("fleet").setting("max_connections", "400").start().await.unwrap();
    fleet.create(&cluster).await;
    let mut stack = Stack::start().await;
    stack.cli.ok(&["environment", "create", "production"]).await;
    let agents = fleet.serve(&cluster, &mut stack).await;
    stack.pipeline(&fleet.pipeline()).await;
    let migration = stack.migration("001_positive", &[("up.sql", MIGRATION)]);

    // The agent goes while its slow database is at work, and others of it have yet to begin.
    let mut running = Running::deploy(&stack, &migration);
    let id = running.id().await;
    let begun = |all: &[Value]| all.iter().any(|r| migrates(r, "step_started", slow));
    running.until_all("the slow database's turn", begun).await;
    let lost = slow % AGENTS;
    stack.kill_agent(agents[lost]);
    let of_others: Vec<_> = (0..count).filter(|n| n % AGENTS != lost && ![fails, down].contains(n)).collect();
    assert!(running.look(|all| of_others.iter().any(|n| !is_through(all, *n))), "in the middle of the wave");

    // Nobody waits for it but its own.
    running.until_all("all of other agents", |all| of_others.iter().all(|n| is_through(all, *n))).await;
    let left = running.look(|all| fleet.served_by(lost).filter(|n| !is_through(all, *n)).count());
    assert!(left > 1 && running.look(pauses) == 0, "{left} are left to the agent that is away");
    eventually("the agent that is waited for", || async {
        let shown = stack.cli.ok(&["status", &id]).await;
        shown.contains(&format!("the agent {} of production", agent_name(lost))).then_some(())
    })
    .await;
    stack.start_agent(agents[lost]);

    // All others are through; the one that fails and the one that is down are waited for, by name.
    running.until_all("the end of all others", |all| pauses(all) == 1).await;
    let cause = running.look(cause_of_last_pause);
    assert!(cause.starts_with(&format!("2 of {count} databases failed")), "{cause}");
    assert!(cause.contains(&name(fails)) && cause.contains(&name(down)), "{cause}");
    let shown = stack.cli.ok(&["status", &id]).await;
    for expected in ["canary:1  1 of 1 through", "10%", "2 failed", &name(fails), &name(down), "positive"] {
        assert!(shown.contains(expected), "{expected} is missing:\n{shown}");
    }
    assert!(shown.lines().count() < 60, "{shown}");

    // The one is mended and tried again alone.
    let mended = cluster.client(&name(fails)).await.unwrap();
    mended.batch_execute("DELETE FROM t WHERE id < 0").await.unwrap();
    let refused = stack.cli.run(&["resume", &id, "--database", &name(slow)]).await;
    let why = format!("nothing has failed in {}", name(slow));
    assert!(refused.code != 0 && refused.stderr.contains(&why), "{}", refused.stderr);
    let before = running.look(<[Value]>::len);
    stack.cli.ok(&["resume", &id, "--database", &name(fails)]).await;
    running.until_all("the one that is left", |all| pauses(all) == 2).await;
    assert!(running.look(cause_of_last_pause).starts_with(&format!("1 of {count}")));
    let tried: BTreeSet<_> = running.look(|all| {
        let steps = all[before..].iter().map(|r| &r["event"]).filter(|e| e["event"] == "step_started");
        steps.map(|e| e["step"]["database"].as_str().unwrap().to_owned()).collect()
    });
    assert_eq!(tried, BTreeSet::from([name(fails)]), "the others are left alone");

    // The other one is left behind.
    stack.cli.ok(&["resume", &id, "--leave-out", &name(down), "--reason", "the tenant has gone"]).await;
    assert_eq!(running.ended().await, 0, "{}", stack.agents[agents[lost]].log());
    let shown = stack.cli.ok(&["status", &id, "--database", &name(down)]).await;
    assert!(shown.contains("left out by admin: the tenant has gone"), "{shown}");

    let records = log(&stack.cli, &id).await;
    assert_contiguous(&records);
    let begun = records.iter().find(|r| r["event"]["event"] == "stage_started").unwrap();
    assert_eq!(begun["event"]["waves"], serde_json::json!(fleet.waves()));
    fleet.assert_in_waves(&records, lost);
    for n in (0..count).filter(|n| *n != down) {
        let client = cluster.client(&name(n)).await.unwrap();
        let effects = number(&client, "SELECT count(*) FROM effect").await;
        assert_eq!(effects, 1, "{} has its effect once", name(n));
        if [fails, slow].contains(&n) {
            assert_nothing_left(&client).await;
        }
    }
}
