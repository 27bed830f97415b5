//! The agent killed with SIGKILL at any moment of a rehearsal and of a rollback, each round a little later than the last:
//! no copy stays, each effect takes place once, and nothing that was saved is lost.

use std::time::Duration;

use stopover_cluster::seed;
use stopover_tests::{Stack, eventually};
use tokio_postgres::Client;

use crate::support::{
    Running, assert_contiguous, assert_nothing_left, is_start, log, number, one_stage, outcome,
};

const ROUNDS: u64 = 8;
const ROWS: u64 = 20_000;

/// A column, and what is written into it.
fn migration(stack: &Stack, round: u64) -> String {
    let up = format!(
        "ALTER TABLE users ADD COLUMN tier{round} text;\nUPDATE users SET tier{round} = 'tier ' || id;"
    );
    let down = format!("ALTER TABLE users DROP COLUMN tier{round};");
    stack.migration(&format!("{round:03}_tier"), &[("up.sql", &up), ("down.sql", &down)])
}

async fn begin(pipeline: &str) -> (Stack, Client) {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, ROWS, 1).await.unwrap();
    stack.pipeline(pipeline).await;
    (stack, client)
}

/// Not to wait for something: what happens at that moment is left to chance.
async fn killed_after(stack: &mut Stack, pause: Duration) {
    tokio::time::sleep(pause).await;
    stack.kill_agent(0);
    stack.start_agent(0);
}

async fn wrong_values(client: &Client, round: u64) -> i64 {
    let sql = format!("SELECT count(*) FROM users WHERE tier{round} IS DISTINCT FROM 'tier ' || id");
    number(client, &sql).await
}

#[tokio::test]
async fn at_any_moment_of_a_rehearsal() {
    let pipeline = "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nrehearse = true\n";
    let (mut stack, client) = begin(pipeline).await;
    for round in 0..ROUNDS {
        let mut running = Running::deploy(&stack, &migration(&stack, round));
        let id = running.id().await;
        running.until("the rehearsal", |record| is_start(record, "rehearse", 0)).await;
        killed_after(&mut stack, Duration::from_millis(round * 90)).await;
        assert_eq!(running.ended().await, 0, "round {round}: {}", running.process.output());
        let records = log(&stack.cli, &id).await;
        assert_contiguous(&records);
        assert_eq!(outcome(&records), "succeeded", "round {round}");
        assert_eq!(wrong_values(&client, round).await, 0, "round {round}");
        for sql in [
            "SELECT count(*) FROM pg_database WHERE datname LIKE",
            "SELECT count(*) FROM pg_roles WHERE rolname LIKE",
        ] {
            let sql = format!("{sql} 'stopover\\_scratch\\_%{id}%'");
            eventually("the end of the copy", || async { (number(&client, &sql).await == 0).then_some(()) })
                .await;
        }
    }
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn at_any_moment_of_a_rollback() {
    let (mut stack, client) = begin(&one_stage("staging", "pause")).await;
    for round in 0..ROUNDS {
        let directory = migration(&stack, round);
        let mut running = Running::deploy(&stack, &directory);
        let id = running.id().await;
        assert_eq!(running.ended().await, 0, "round {round}: {}", running.process.output());

        let said = stack.directory().join(format!("back-{round}.log"));
        let mut back = Running::of(stack.cli.start(&said, &["--json", "rollback", &id, "--yes"]));
        back.until("the rollback", |record| is_start(record, "rollback", 0)).await;
        killed_after(&mut stack, Duration::from_millis(round * 60)).await;
        assert_eq!(back.ended().await, 0, "round {round}: {}", back.process.output());
        let records = log(&stack.cli, &id).await;
        assert_contiguous(&records);
        assert_eq!(outcome(&records), "rolled_back", "round {round}");

        // The agent that was started again may not be connected yet.
        let kept = eventually("what is kept", || async {
            let said = stack.cli.run(&["saved", "list", "staging"]).await;
            (said.code == 0).then_some(said.stdout)
        })
        .await;
        assert_eq!(kept.matches(&format!("users.tier{round}")).count(), 1, "round {round}: {kept}");
        let again = stack.cli.run(&["deploy", &directory, "--again", "mended", "--restore-saved"]).await;
        assert_eq!(again.code, 0, "round {round}: {}\n{}", again.stdout, again.stderr);
        assert_eq!(wrong_values(&client, round).await, 0, "round {round}");
    }
    let taken_back = "SELECT count(*) FROM stopover.history WHERE what = 'rolled back'";
    assert_eq!(number(&client, taken_back).await, i64::try_from(ROUNDS).unwrap());
    assert_nothing_left(&client).await;
}
