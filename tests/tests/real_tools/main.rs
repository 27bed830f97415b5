//! Histories of the tools that people used until now, written here and now by the tools themselves: `tests/real-tools`
//! installs them and runs these tests.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod record;
mod shop;
mod tools;

use stopover_cluster::TestDatabase;
use stopover_tests::Stack;
use stopover_tests::history::assert_taken_over;

use crate::record::record_where_asked;
use crate::shop::{Change, Shop};
use crate::tools::{Dbmate, Diesel, Liquibase, Rails, Sqitch, Sqlx, Tool};

const APPLIED: [Change; 3] = [
    Change {
        name: "users",
        up: "CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);",
        down: "DROP TABLE users;",
        alone: false,
    },
    Change {
        name: "orders",
        up: "CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);",
        down: "DROP TABLE orders;",
        alone: false,
    },
    Change {
        name: "orders_index",
        up: "CREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);",
        down: "DROP INDEX CONCURRENTLY orders_user_id;",
        alone: true,
    },
];

const PENDING: Change = Change {
    name: "active_users",
    up: "ALTER TABLE users ADD COLUMN active boolean NOT NULL DEFAULT true;",
    down: "ALTER TABLE users DROP COLUMN active;",
    alone: false,
};

#[tokio::test]
#[ignore = "needs the tool itself: tests/real-tools"]
async fn sqlx() {
    take_over(&Sqlx { simple: false }).await;
}

#[tokio::test]
#[ignore = "needs the tool itself: tests/real-tools"]
async fn sqlx_simple() {
    take_over(&Sqlx { simple: true }).await;
}

#[tokio::test]
#[ignore = "needs the tool itself: tests/real-tools"]
async fn diesel() {
    take_over(&Diesel).await;
}

#[tokio::test]
#[ignore = "needs the tool itself: tests/real-tools"]
async fn dbmate() {
    take_over(&Dbmate).await;
}

#[tokio::test]
#[ignore = "needs the tool itself: tests/real-tools"]
async fn sqitch() {
    take_over(&Sqitch).await;
}

#[tokio::test]
#[ignore = "needs the tool itself: tests/real-tools"]
async fn liquibase() {
    take_over(&Liquibase).await;
}

#[tokio::test]
#[ignore = "needs the tool itself: tests/real-tools"]
async fn rails() {
    take_over(&Rails).await;
}

/// The tool applies some, one more is written, and Stopover goes on from there: to the schema that the tool would have made.
async fn take_over(tool: &impl Tool) {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.pipeline("name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n").await;
    let shop = Shop::new(&stack.agents[place].database);
    let mut applied = tool.begin(&shop);
    applied.extend(APPLIED.iter().map(|change| tool.write(&shop, change)));
    applied.extend(tool.more(&shop));
    tool.apply(&shop);
    let pending = tool.write(&shop, &PENDING);
    assert_eq!(tool.applied(&shop), applied, "what the tool says is not what this test expects");
    record_where_asked(tool, &shop, &applied);

    let directory = shop.directory().join(tool.directory());
    let history = shop.dump(tool.history());
    assert_taken_over(&stack.cli, "users", "p", &directory, &applied).await;
    stack.cli.ok(&["deploy".as_ref(), directory.as_os_str()]).await;
    assert_eq!(tool.applied(&shop), applied, "the tool's own word has changed");
    assert_eq!(shop.dump(tool.history()), history, "the tool's tables have changed");

    let other = TestDatabase::shared().await.unwrap();
    let without_us = shop.copy(&other);
    tool.apply(&without_us);
    applied.push(pending);
    assert_eq!(tool.applied(&without_us), applied);
    assert_eq!(shop.schema(), without_us.schema(), "the tool would have made another schema");
    eprintln!("{}: {} adopted, 1 deployed", tool.version(&shop), applied.len() - 1);
}
