//! How long it should take, beside how long it took: from a sample, from the stage before, from what was measured.

use serde_json::Value;
use stopover_cluster::seed;
use stopover_tests::Stack;

use crate::support::{assert_nothing_left, deploy, is_event, number};

const PIPELINE: &str =
    "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n[[stage]]\nenvironment = \"production\"\n";

const FIRST: &str = "ALTER TABLE users ADD COLUMN score int;
    UPDATE users SET score = 1;
    ALTER TABLE users ALTER COLUMN score SET NOT NULL;
    CREATE INDEX users_score ON users (score, email);";

const SECOND: &str = "ALTER TABLE users ADD COLUMN rank int; UPDATE users SET rank = 2;";

#[tokio::test]
async fn estimates_come_from_a_sample_then_from_staging_then_from_rates() {
    let mut stack = Stack::start().await;
    let staging = stack.environment("staging").await;
    let production = stack.environment("production").await;
    let staging = stack.agents[staging].database.client().await.unwrap();
    let live = stack.agents[production].database.client().await.unwrap();
    seed::users(&staging, 60_000, 1).await.unwrap();
    seed::users(&live, 300_000, 2).await.unwrap();
    for client in [&staging, &live] {
        client.batch_execute("VACUUM ANALYZE users").await.unwrap();
    }
    stack.pipeline(PIPELINE).await;

    let first = stack.migration("001_score", &[("up.sql", FIRST)]);
    let plan = in_one_line(&stack.cli.ok(&["plan", &first]).await);
    assert!(plan.contains("rows took") && plan.contains("in a sample that was rolled back"), "{plan}");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'stopover%'";
    assert_eq!(number(&live, schemas).await, 0, "plan changes nothing");

    let compared = compared(&stack, &first).await;
    assert!(compared[0].basis.contains("in a sample that was rolled back"), "{compared:?}");
    assert!(compared[1].basis.contains("in staging"), "{compared:?}");
    assert!(compared.iter().all(|c| (0.02..50.0).contains(&c.ratio)), "{compared:?}");

    let second = stack.migration("002_rank", &[("up.sql", SECOND)]);
    let plan = in_one_line(&stack.cli.ok(&["plan", &second]).await);
    assert!(plan.contains("changes of rows ran at"), "{plan}");
    let compared = self::compared(&stack, &second).await;
    assert!(compared[0].basis.starts_with("changes of rows ran at "), "{compared:?}");
    assert!(compared.iter().all(|c| (0.02..50.0).contains(&c.ratio)), "{compared:?}");

    let status = stack.cli.ok(&["status", &compared[0].deployment]).await;
    assert!(status.contains("estimated "), "{status}");
    let json = stack.cli.ok(&["status", &compared[0].deployment, "--json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    let steps = json["stages"][1]["databases"][0]["steps"].as_array().unwrap();
    let migrate = steps.iter().find(|step| step["kind"] == "migrate").unwrap();
    assert_eq!(migrate["statements"][1]["rows"], 300_000, "{migrate}");
    assert!(migrate["estimate"]["statements"][0]["basis"].is_string(), "{migrate}");
    assert_nothing_left(&live).await;
}

#[tokio::test]
async fn nothing_is_tried_where_the_pipeline_does_not_want_it() {
    let mut stack = Stack::start().await;
    let staging = stack.environment("staging").await;
    let staging = stack.agents[staging].database.client().await.unwrap();
    seed::users(&staging, 20_000, 1).await.unwrap();
    staging.batch_execute("VACUUM ANALYZE users").await.unwrap();
    stack.pipeline("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nsample = false\n").await;
    let plan = stack.cli.ok(&["plan", &stack.migration("001_score", &[("up.sql", FIRST)])]).await;
    let plan = in_one_line(&plan);
    assert!(plan.contains("not known: statement 2"), "{plan}");
}

/// Where a line breaks depends on how long the figures are.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A migration's estimate beside what it took.
#[derive(Debug)]
struct Compared {
    deployment: String,
    basis: String,
    ratio: f64,
}

/// Deploys, and compares in each database.
async fn compared(stack: &Stack, migration: &str) -> Vec<Compared> {
    let (finished, records) = deploy(stack, migration).await;
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    let seconds = |value: &Value| {
        stopover_model::duration::parse(value.as_str().unwrap_or_default()).unwrap().as_secs_f64()
    };
    let planned = records.iter().filter(|r| is_event(r, "planned"));
    let took = records.iter().filter_map(|r| {
        let took = &r["event"]["outcome"]["report"];
        (is_event(r, "step_finished") && took["step"] == "migrated").then(|| seconds(&took["took"]))
    });
    let compare = |(planned, took): (&Value, f64)| {
        let estimate = &planned["event"]["plan"]["migrations"][0]["action"]["estimate"];
        let basis = estimate["basis"].as_str().unwrap_or_default().to_owned();
        let ratio = seconds(&estimate["duration"]) / took.max(0.001);
        #[expect(clippy::print_stdout, reason = "for whoever wants to know how good they are")]
        {
            println!("estimated {}, took {took:.3} s, ratio {ratio:.2}: {basis}", estimate["duration"]);
        }
        Compared { deployment: planned["deployment"].as_str().unwrap().to_owned(), basis, ratio }
    };
    planned.zip(took).map(compare).collect()
}
