//! Histories that other tools wrote, taken over.

use stopover_cluster::TestDatabase;
use stopover_tests::history::{Recorded, adopt, assert_taken_over, planned, recorded};
use stopover_tests::{AgentOptions, Stack};

/// What the applied migrations of every recorded history had made.
const SCHEMA: &str = "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
     CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);
     CREATE INDEX orders_user_id ON orders (user_id);";

/// Whose each history is, and as whose its directory has to be read. Rails and Liquibase have no layout of their own: the
/// files are numbered.
const TOOLS: [(&str, &str, &str); 10] = [
    ("dbmate", "dbmate", "dbmate"),
    ("diesel", "diesel", "diesel"),
    ("flyway", "flyway", "flyway"),
    ("golang-migrate", "golang-migrate", "golang-migrate"),
    ("goose", "goose", "goose"),
    ("liquibase", "liquibase", "plain"),
    ("rails", "rails", "plain"),
    ("sqitch", "sqitch", "sqitch"),
    ("sqlx", "sqlx", "sqlx"),
    ("sqlx-simple", "sqlx", "sqlx"),
];

#[tokio::test]
async fn each_tools_history_is_adopted_and_only_the_rest_is_due() {
    let histories = recorded();
    let contents: Vec<_> = histories.iter().map(|h| (h.name.clone(), h.history.as_str())).collect();
    let (stack, _databases) = serving(&contents).await;
    for history in &histories {
        let (_, tool, layout) = TOOLS.iter().find(|(name, ..)| *name == history.name).unwrap();
        check_layout(&stack, history, layout).await;
        let (directory, name) = (&history.migrations, &history.name);
        let answer = assert_taken_over(&stack.cli, name, name, directory, &history.applied).await;
        assert_eq!(answer["history"]["tool"], *tool, "{answer:#}");
    }
    let directory = histories[0].migrations.display().to_string();
    stack.cli.ok(&["deploy", &directory, "--pipeline", &histories[0].name]).await;
    let done = planned(&stack.cli, &histories[0].migrations, &histories[0].name).await;
    assert!(done.iter().all(|(_, action)| action == "skip"), "{done:?}");
}

#[tokio::test]
async fn a_history_that_ends_in_a_failure_is_refused_and_nothing_is_written() {
    let mut histories = recorded();
    histories.retain(|history| history.refused.is_some());
    assert!(!histories.is_empty());
    let contents: Vec<_> =
        histories.iter().map(|h| (h.name.clone(), h.refused.as_deref().unwrap())).collect();
    let (stack, databases) = serving(&contents).await;
    for (history, database) in histories.iter().zip(&databases) {
        let (finished, answer) = adopt(&stack.cli, "staging", &history.name, &history.migrations).await;
        assert_eq!((finished.code, answer["recorded"].is_null()), (1, true), "{answer:#}");
        assert_eq!(answer["problems"][0]["trouble"], "unfinished", "{answer:#}");
        let client = database.client().await.unwrap();
        let ledger = client.query_one("SELECT to_regclass('stopover.migration')::text", &[]).await.unwrap();
        assert_eq!(ledger.get::<_, Option<String>>(0), None, "there is a ledger in {}", history.name);
    }
}

/// An installation whose one agent serves a database for each of these, with what its tool had made and written, and a
/// pipeline of the same name through that database.
async fn serving(contents: &[(String, &str)]) -> (Stack, Vec<TestDatabase>) {
    let mut databases = Vec::new();
    for (_, history) in contents {
        let database = TestDatabase::shared().await.unwrap();
        database.client().await.unwrap().batch_execute(&format!("{SCHEMA}\n{history}")).await.unwrap();
        databases.push(database);
    }
    let mut stack = Stack::start().await;
    let named = contents.iter().zip(&databases).map(|((name, _), d)| (name.clone(), d.name().to_owned()));
    let options = AgentOptions { databases: named.collect(), ..AgentOptions::default() };
    stack.environment_with("staging", options).await;
    for (name, _) in contents {
        let stage = format!("[[stage]]\nenvironment = \"staging\"\ndatabases = [\"{name}\"]\n");
        stack.pipeline(&format!("name = \"{name}\"\n{stage}")).await;
    }
    (stack, databases)
}

async fn check_layout(stack: &Stack, history: &Recorded, layout: &str) {
    let directory = history.migrations.display().to_string();
    let plan = stack.cli.ok(&["plan", &directory, "--pipeline", &history.name]).await;
    let heading = format!("layout: {layout}, {} migrations\n", history.applied.len() + 1);
    assert!(plan.starts_with(&heading), "{plan}");
}
