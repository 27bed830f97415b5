//! Directories that other tools wrote, deployed as they are.

use serde_json::Value;
use stopover_tests::Stack;

use crate::support::{assert_nothing_left, deploy, is_event, number, one_stage, outcome};

const GOLANG_MIGRATE: [(&str, &str); 6] = [
    ("000009_users.up.sql", "CREATE TABLE users (id int PRIMARY KEY, name text);"),
    ("000009_users.down.sql", "DROP TABLE users;"),
    ("000010_names.up.sql", "BEGIN;\nINSERT INTO users VALUES (1, 'a');\nCOMMIT;\n"),
    ("000010_names.down.sql", "DELETE FROM users;"),
    ("000011_index.up.sql", "CREATE INDEX CONCURRENTLY users_name ON users (name);"),
    ("embed.go", "package migrations\n"),
];

const GOOSE: [(&str, &str); 3] = [
    (
        "00001_orders.sql",
        "-- +goose Up\r\nCREATE TABLE orders (id int);\r\n\r\n-- +goose Down\r\nDROP TABLE orders;\r\n",
    ),
    ("00002_nothing.sql", "-- +goose Up\n-- nothing yet\n-- +goose Down\n"),
    (
        "00003_alone.sql",
        "\u{feff}-- +goose NO TRANSACTION\n-- +goose Up\nINSERT INTO orders VALUES (1);\n\
         -- +goose StatementBegin\nDO $$ BEGIN INSERT INTO orders VALUES (2); END $$;\n-- +goose StatementEnd\n",
    ),
];

/// What the plan did with each migration, in order.
fn actions(records: &[Value]) -> Vec<(String, String)> {
    let planned = records.iter().find(|r| is_event(r, "planned")).expect("a plan");
    let migrations = planned["event"]["plan"]["migrations"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    migrations.iter().map(|m| (text(&m["id"]), text(&m["action"]["action"]))).collect()
}

fn pairs<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(id, action)| ((*id).to_owned(), (*action).to_owned())).collect()
}

#[tokio::test]
async fn directories_of_other_tools_go_in_order_and_only_what_is_new_is_applied() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline(&one_stage("staging", "rollback")).await;
    let client = stack.agents[place].database.client().await.unwrap();
    let golang = stack.migration("golang", &GOLANG_MIGRATE);
    let goose = stack.migration("goose", &GOOSE);

    let plan = stack.cli.ok(&["plan", &golang]).await;
    assert!(plan.starts_with("layout: golang-migrate, 3 migrations\n"), "{plan}");
    let (finished, records) = deploy(&stack, &golang).await;
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    let expected = [("000009_users", "apply"), ("000010_names", "apply"), ("000011_index", "apply")];
    assert_eq!(actions(&records), pairs(&expected));
    assert_eq!(number(&client, "SELECT count(*) FROM users").await, 1);

    let (finished, records) = deploy(&stack, &goose).await;
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    let expected = [("00001_orders", "apply"), ("00002_nothing", "apply"), ("00003_alone", "apply")];
    assert_eq!(actions(&records), pairs(&expected));
    assert_eq!(number(&client, "SELECT sum(id) FROM orders").await, 3);
    let alone = "SELECT count(*) FROM stopover.statement WHERE migration = '00003_alone'";
    assert_eq!(number(&client, alone).await, 2, "each statement has its own row");

    let goose =
        stack.migration("goose", &[("00004_more.sql", "-- +goose Up\nINSERT INTO orders VALUES (4);\n")]);
    let (finished, records) = deploy(&stack, &goose).await;
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    let expected = [
        ("00001_orders", "skip"),
        ("00002_nothing", "skip"),
        ("00003_alone", "skip"),
        ("00004_more", "apply"),
    ];
    assert_eq!(actions(&records), pairs(&expected));
    assert_eq!(number(&client, "SELECT sum(id) FROM orders").await, 7);
    assert_eq!(number(&client, "SELECT count(*) FROM stopover.migration WHERE state = 'applied'").await, 7);

    // An error has its place in the file that people know.
    let goose = stack.migration("goose", &[("00005_wrong.sql", "-- +goose Up\nSELECT 1;\nSELECT nope;\n")]);
    let (finished, records) = deploy(&stack, &goose).await;
    assert_eq!(finished.code, 1);
    assert_ne!(outcome(&records), "succeeded");
    let failed = records
        .iter()
        .find(|r| is_event(r, "step_finished") && r["event"]["outcome"]["outcome"] == "failed")
        .expect("a failed step");
    let error = &failed["event"]["outcome"]["error"];
    assert_eq!(error["place"]["file"], "00005_wrong.sql");
    assert_eq!((&error["place"]["line"], &error["place"]["column"]), (&3.into(), &8.into()));
    assert!(
        error["message"].as_str().unwrap().contains("statement 2 (line 3) of 00005_wrong.sql"),
        "{error}"
    );
    assert_eq!(number(&client, "SELECT count(*) FROM stopover.migration WHERE state = 'applied'").await, 7);
    assert_nothing_left(&client).await;
}
