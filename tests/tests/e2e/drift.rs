//! What others change between two deployments: seen, refused, accepted, and the deployment goes on.

use stopover_tests::Stack;

use crate::support::{Running, assert_nothing_left, deploy, is_event, number};

const PIPELINE: &str =
    "name = \"p\"\ndrift = \"refuse\"\ndrift_ignore = [\"audit.*\"]\n[[stage]]\nenvironment = \"staging\"\n";

#[tokio::test]
async fn drift_between_two_deployments_is_refused_until_a_person_accepts_it() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(PIPELINE).await;
    let client = stack.agents[place].database.client().await.unwrap();
    let shown = stack.cli.run(&["drift", "staging"]).await;
    assert_eq!(
        (shown.code, shown.stdout.contains("nothing of the schema is recorded")),
        (0, true),
        "{}",
        shown.stdout
    );

    let up = "CREATE TABLE users (id int PRIMARY KEY, nick int);";
    let first = stack.migration("001_users", &[("up.sql", up)]);
    assert_eq!(deploy(&stack, &first).await.0.code, 0);
    let shown = stack.cli.run(&["drift", "staging"]).await;
    assert_eq!(
        (shown.code, shown.stdout.contains("✓ no drift: the schema is as deployment")),
        (0, true),
        "{}",
        shown.stdout
    );

    let pipeline = stack.cli.ok(&["pipeline", "show"]).await;
    assert!(pipeline.contains("drift   refused") && pipeline.contains("not counted: audit.*"), "{pipeline}");

    // What the pipeline ignores does not matter.
    client.batch_execute("CREATE SCHEMA audit; CREATE TABLE audit.log (id int)").await.unwrap();
    let second = stack.migration("002_a", &[("up.sql", "CREATE TABLE a (id int);")]);
    assert_eq!(deploy(&stack, &second).await.0.code, 0);

    let drift = "ALTER TABLE users ALTER nick TYPE bigint; CREATE INDEX users_nick_idx ON users (nick)";
    client.batch_execute(drift).await.unwrap();
    let third = stack.migration("003_b", &[("up.sql", "CREATE TABLE b (id int);")]);
    let plan = stack.cli.run(&["plan", &third]).await;
    assert!(
        plan.stdout.contains("column public.users.nick changed (type integer -> bigint)"),
        "{}",
        plan.stdout
    );
    let mut running = Running::deploy(&stack, &third);
    let refused = running.until("the refusal", |record| is_event(record, "plan_refused")).await;
    let error = &refused["event"]["error"];
    assert_eq!(error["class"], "drift", "{error:#}");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("index public.users_nick_idx is new") && !message.contains("audit"),
        "{message}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("stopover drift ENVIRONMENT --database users --accept"),
        "{error:#}"
    );
    running.until("the pause", |record| is_event(record, "paused")).await;
    assert_eq!(number(&client, "SELECT count(*) FROM pg_class WHERE relname = 'b'").await, 0);

    let shown = stack.cli.run(&["--json", "drift", "staging"]).await;
    assert_eq!(shown.code, 1, "{}", shown.stderr);
    let found = &shown.json()[0]["databases"][0]["found"]["comparison"]["known"];
    assert_eq!(found["migration"], "002_a", "{found:#}");
    let asked = stack.cli.run(&["drift", "staging", "--accept"]).await;
    assert_eq!((asked.code, asked.stderr.contains("--yes")), (2, true), "{}", asked.stderr);
    // The deployment that waits for it is in the environment.
    let accepted = stack.cli.run(&["drift", "staging", "--accept", "--yes"]).await;
    assert_eq!(accepted.code, 0, "{}\n{}", accepted.stdout, accepted.stderr);
    assert!(accepted.stdout.contains("✓ users: the schema counts as known"), "{}", accepted.stdout);
    let origin = client.query_one("SELECT origin FROM stopover.schema", &[]).await.unwrap();
    assert_eq!(origin.get::<_, &str>(0), "accepted by admin");

    let id = refused["deployment"].as_str().unwrap();
    stack.cli.ok(&["resume", id]).await;
    assert_eq!(running.ended().await, 0, "{:?}", running.records());
    assert_eq!(number(&client, "SELECT count(*) FROM b").await, 0);
    assert_eq!(stack.cli.run(&["drift", "staging"]).await.code, 0);
    assert_nothing_left(&client).await;
}
