//! Histories that other tools wrote, taken over.

use stopover_cluster::TestDatabase;
use stopover_tests::history::{Recorded, planned, recorded};
use stopover_tests::{AgentOptions, Stack};

/// What the applied migrations of every recorded history had made.
const SCHEMA: &str = "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
     CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);
     CREATE INDEX orders_user_id ON orders (user_id);";

/// What the name of each directory's last migration ends in.
const PENDING: &str = "active_users";

/// As whose the directories have to be read. Rails and Liquibase have no layout of their own: their files are numbered.
const LAYOUTS: [(&str, &str); 10] = [
    ("dbmate", "dbmate"),
    ("diesel", "diesel"),
    ("flyway", "flyway"),
    ("golang-migrate", "golang-migrate"),
    ("goose", "goose"),
    ("liquibase", "plain"),
    ("rails", "plain"),
    ("sqitch", "sqitch"),
    ("sqlx", "sqlx"),
    ("sqlx-simple", "sqlx"),
];

#[tokio::test]
async fn directories_that_other_tools_made_are_read_as_theirs() {
    let histories = recorded();
    let databases = databases(&histories).await;
    let mut stack = Stack::start().await;
    let served =
        histories.iter().zip(&databases).map(|(h, d)| (h.name.clone(), d.name().to_owned())).collect();
    let options = AgentOptions { databases: served, ..AgentOptions::default() };
    stack.environment_with("staging", options).await;
    for history in &histories {
        stack.pipeline(&pipeline(&history.name)).await;
    }
    for history in &histories {
        check_layout(&stack, history).await;
    }
}

/// A database for each history, with what the tool had made and written.
async fn databases(histories: &[Recorded]) -> Vec<TestDatabase> {
    let mut databases = Vec::new();
    for history in histories {
        let database = TestDatabase::shared().await.unwrap();
        let client = database.client().await.unwrap();
        client.batch_execute(&format!("{SCHEMA}\n{}", history.history)).await.unwrap();
        databases.push(database);
    }
    databases
}

fn pipeline(database: &str) -> String {
    format!("name = \"{database}\"\n[[stage]]\nenvironment = \"staging\"\ndatabases = [\"{database}\"]\n")
}

async fn check_layout(stack: &Stack, history: &Recorded) {
    let directory = history.migrations.display().to_string();
    let plan = stack.cli.ok(&["plan", &directory, "--pipeline", &history.name]).await;
    let (_, layout) = LAYOUTS.iter().find(|(name, _)| *name == history.name).expect("a layout is expected");
    let heading = format!("layout: {layout}, {} migrations\n", history.applied.len() + 1);
    assert!(plan.starts_with(&heading), "{plan}");
    let planned = planned(&stack.cli, &history.migrations, &history.name).await;
    let mut ids: Vec<_> = planned.into_iter().map(|(id, _)| id).collect();
    ids.retain(|id| !id.ends_with(PENDING));
    assert_eq!(ids, history.applied, "{}", history.name);
}
