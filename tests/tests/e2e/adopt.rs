//! Databases that another tool has migrated until now.

use serde_json::Value;
use stopover_cluster::TestDatabase;
use stopover_tests::{AgentOptions, Stack};

use crate::support::{Running, assert_nothing_left, deploy, is_event, is_start, number, one_stage};

const UP: &str = "-- +goose Up\n";

/// What goose has left: two of three applied, the second taken back and applied again.
const GOOSE: &str = "CREATE TABLE goose_db_version (id serial PRIMARY KEY, version_id bigint NOT NULL,
        is_applied boolean NOT NULL, tstamp timestamp DEFAULT now());
    INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, true), (1, true), (2, true), (2, false), (2, true);
    CREATE TABLE a (id int); CREATE TABLE b (id int);";

fn migrations(stack: &Stack) -> String {
    let file =
        |table: &str| format!("{UP}CREATE TABLE {table} (id int);\n-- +goose Down\nDROP TABLE {table};\n");
    let files = [("00001_a.sql", file("a")), ("00002_b.sql", file("b")), ("00003_c.sql", file("c"))];
    stack.migration("goose", &files.each_ref().map(|(name, text)| (*name, text.as_str())))
}

fn ids(values: &Value) -> Vec<&str> {
    values
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_str().unwrap_or_else(|| v["migration"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_database_of_gooses_is_adopted_and_goes_on_from_there() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "rollback")).await;
    let client = stack.agents[place].database.client().await.unwrap();
    let directory = migrations(&stack);

    let none = stack.cli.run(&["adopt", "staging", &directory, "--yes"]).await;
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("stopover baseline staging DIR --through ID"), "{}", none.stderr);

    client.batch_execute(GOOSE).await.unwrap();
    // Without a terminal nobody can agree.
    let shown = stack.cli.run(&["adopt", "staging", &directory]).await;
    assert_eq!(shown.code, 2, "{}", shown.stderr);
    assert!(shown.stdout.contains("the history of goose in public.goose_db_version"), "{}", shown.stdout);
    assert!(shown.stdout.contains("pending (1): 00003_c"), "{}", shown.stdout);
    assert!(shown.stderr.contains("--yes"), "{}", shown.stderr);
    assert_eq!(number(&client, "SELECT count(*) FROM pg_namespace WHERE nspname = 'stopover'").await, 0);

    let adopted = stack.cli.run(&["--json", "adopt", "staging", &directory, "--yes"]).await;
    assert_eq!(adopted.code, 0, "{}", adopted.stderr);
    let database = &adopted.json()[0]["databases"][0];
    assert_eq!(ids(&database["marks"]), ["00001_a", "00002_b"]);
    assert_eq!(ids(&database["recorded"]["written"]), ["00001_a", "00002_b"]);
    assert_eq!(database["history"]["tool"], "goose");

    let plan = stack.cli.ok(&["plan", &directory]).await;
    assert!(plan.contains("adopted from public.goose_db_version by admin"), "{plan}");
    let (finished, records) = deploy(&stack, &directory).await;
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    let planned = records.iter().find(|r| is_event(r, "planned")).unwrap();
    let actions = planned["event"]["plan"]["migrations"].as_array().unwrap().iter();
    let actions: Vec<_> = actions.map(|m| m["action"]["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["skip", "skip", "apply"]);
    assert_eq!(number(&client, "SELECT count(*) FROM c").await, 0);

    let again = stack.cli.run(&["adopt", "staging", &directory]).await;
    assert_eq!((again.code, again.stderr.contains("nothing to write")), (0, true), "{}", again.stderr);
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn of_several_databases_each_is_shown_and_written_by_itself() {
    let mut stack = Stack::start().await;
    let orders = TestDatabase::shared().await.unwrap();
    let name = orders.name().to_owned();
    let options = AgentOptions { databases: vec![("orders".to_owned(), name)], ..AgentOptions::default() };
    let place = stack.environment_with("staging", options).await;
    let users = stack.agents[place].database.client().await.unwrap();
    let orders = orders.client().await.unwrap();
    let directory = migrations(&stack);
    users.batch_execute(GOOSE).await.unwrap();

    let one = stack.cli.run(&["adopt", "staging", &directory, "--yes"]).await;
    assert_eq!(one.code, 0, "{}\n{}", one.stdout, one.stderr);
    assert!(one.stdout.contains("orders\n  no history of another tool\n"), "{}", one.stdout);
    assert!(one.stdout.contains("✓ users: 2 migrations recorded as applied\n"), "{}", one.stdout);

    // What stands in the way in one holds both, unless one is named.
    orders.batch_execute(GOOSE).await.unwrap();
    let changed = "UPDATE stopover.migration SET digest = repeat('0', 64) WHERE id = '00002_b'";
    users.batch_execute(changed).await.unwrap();
    let both = stack.cli.run(&["adopt", "staging", &directory, "--yes"]).await;
    assert_eq!(both.code, 1, "{}\n{}", both.stdout, both.stderr);
    assert!(both.stdout.contains("the ledger has it with other content"), "{}", both.stdout);
    assert!(both.stderr.contains("--database"), "{}", both.stderr);
    assert_eq!(number(&orders, "SELECT count(*) FROM pg_namespace WHERE nspname = 'stopover'").await, 0);
    stack.cli.ok(&["adopt", "staging", &directory, "--yes", "--database", "orders"]).await;
    assert_eq!(number(&orders, "SELECT count(*) FROM stopover.migration").await, 2);
}

#[tokio::test]
async fn what_stands_in_the_way_is_shown_and_nothing_is_written() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "pause")).await;
    let client = stack.agents[place].database.client().await.unwrap();
    let files = [("1_a.up.sql", "CREATE TABLE a (id int);"), ("2_b.up.sql", "CREATE TABLE b (id int);")];
    let directory = stack.migration("golang", &files);
    let dirty = "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
        INSERT INTO schema_migrations VALUES (2, true)";
    client.batch_execute(dirty).await.unwrap();
    let refused = stack.cli.run(&["adopt", "staging", &directory, "--yes"]).await;
    assert_eq!(refused.code, 1);
    assert!(
        refused.stdout.contains("dirty") && refused.stdout.contains("migrate force 2"),
        "{}",
        refused.stdout
    );
    assert_eq!(number(&client, "SELECT count(*) FROM pg_namespace WHERE nspname = 'stopover'").await, 0);

    for (arguments, expected) in [
        (&["adopt", "stagin", &directory][..], "there is no environment stagin"),
        (&["adopt", "staging", &directory, "--database", "orders"], "there is users"),
        (
            &["adopt", "staging", &directory, "--tool", "flyway"],
            "it holds golang-migrate in public.schema_migrations",
        ),
        (&["baseline", "staging", &directory, "--through", "2_c"], "did you mean 2_b?"),
    ] {
        let refused = stack.cli.run(arguments).await;
        assert_eq!(refused.code, 2, "{}", refused.stderr);
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }

    // A deployment is in the environment.
    let slow = stack.migration("900_slow", &[("up.sql", "SELECT pg_sleep(600)")]);
    let mut running = Running::deploy(&stack, &slow);
    running.until("the migration", |r| is_start(r, "migrate", 0)).await;
    let id = running.id().await;
    let held = stack.cli.run(&["baseline", "staging", &directory, "--through", "2_b", "--yes"]).await;
    assert_eq!(held.code, 1);
    assert!(held.stderr.contains(&format!("in use by deployment {id}")), "{}", held.stderr);
    stack.cli.ok(&["cancel", &id]).await;
    running.ended().await;

    // And then it is written, with a word on the history that is there.
    let written = stack.cli.run(&["baseline", "staging", &directory, "--through", "1_a", "--yes"]).await;
    assert_eq!(written.code, 0, "{}", written.stderr);
    assert!(written.stderr.contains("has the history of golang-migrate"), "{}", written.stderr);
    let sql = "SELECT count(*) FROM stopover.migration WHERE id = '1_a' AND origin = 'baseline by admin'";
    assert_eq!(number(&client, sql).await, 1);

    stack.kill_agent(place);
    let away = stack.cli.run(&["adopt", "staging", &directory, "--yes"]).await;
    assert_eq!(away.code, 1, "{}\n{}", away.stdout, away.stderr);
}

#[tokio::test]
async fn a_migration_that_came_late_is_refused_until_somebody_says_what_to_do() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "rollback")).await;
    let client = stack.agents[place].database.client().await.unwrap();
    let view = |n: u32| format!("CREATE OR REPLACE VIEW v AS SELECT {n} AS n;");
    let first = [
        ("V1__a.sql", "CREATE TABLE a (id int);"),
        ("V3__c.sql", "CREATE TABLE c (id int);"),
        ("R__v.sql", &view(1)),
    ];
    let directory = stack.migration("flyway", &first);
    assert_eq!(deploy(&stack, &directory).await.0.code, 0);

    let late = [("V2__b.sql", "CREATE TABLE b (id int);"), ("R__v.sql", &view(2))];
    let directory = stack.migration("flyway", &late);
    let plan = stack.cli.run(&["plan", &directory]).await;
    assert_eq!(plan.code, 1, "{}", plan.stdout);
    let flat = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for text in
        ["V2__b is not applied to users, and V3__c, which comes later, is", "out_of_order = \"allow\""]
    {
        assert!(flat.contains(text), "{}", plan.stdout);
    }

    let pipeline = one_stage("staging", "rollback").replacen('\n', "\nout_of_order = \"allow\"\n", 1);
    stack.pipeline(&pipeline).await;
    let (finished, records) = deploy(&stack, &directory).await;
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    let planned = records.iter().find(|r| is_event(r, "planned")).unwrap();
    let migrations = planned["event"]["plan"]["migrations"].as_array().unwrap().iter();
    let actions: Vec<_> = migrations.map(|m| m["action"]["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["skip", "apply", "skip", "apply"], "the changed view runs again");
    assert_eq!(number(&client, "SELECT n::bigint FROM v").await, 2);
}
