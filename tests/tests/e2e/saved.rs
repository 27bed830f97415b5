//! What a rollback drops is kept, and comes back once the migration is applied again.

use stopover_cluster::seed;
use stopover_tests::Stack;
use stopover_tests::stack::sample;

use crate::support::{assert_nothing_left, deploy, number, one_stage};

#[tokio::test]
async fn deployed_again_with_what_its_rollback_has_dropped() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, 2_000, 1).await.unwrap();
    stack.pipeline(&one_stage("staging", "rollback")).await;
    let files = [
        ("up.sql", "ALTER TABLE users ADD COLUMN tier text; UPDATE users SET tier = 'free';"),
        ("down.sql", "ALTER TABLE users DROP COLUMN tier;"),
    ];
    let migration = stack.migration("001_tier", &files);
    let (first, records) = deploy(&stack, &migration).await;
    assert_eq!(first.code, 0, "{}", first.stderr);
    let id = records[0]["deployment"].as_str().unwrap().to_owned();
    client.batch_execute("UPDATE users SET tier = 'paid' WHERE id <= 7").await.unwrap();
    let back = stack.cli.run(&["rollback", &id, "--yes"]).await;
    assert_eq!(back.code, 0, "{}\n{}", back.stdout, back.stderr);
    let again = stack.cli.run(&["deploy", &migration, "--again", "mended", "--restore-saved"]).await;
    assert_eq!(again.code, 0, "{}\n{}", again.stdout, again.stderr);
    let said = again.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(" 7 values of users.tier are back"), "{}", again.stdout);
    let wrong = "SELECT count(*) FROM users WHERE tier <> CASE WHEN id <= 7 THEN 'paid' ELSE 'free' END";
    assert_eq!(number(&client, wrong).await, 0);
    // There is nothing left to offer.
    assert!(!stack.cli.run(&["plan", &migration]).await.stdout.contains("--restore-saved"));
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn the_guides_column_is_kept_by_its_rollback_and_put_back_later() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let client = stack.agents[place].database.client().await.unwrap();
    seed::users(&client, 2_000, 1).await.unwrap();
    stack.pipeline(&one_stage("staging", "pause")).await;
    let (first, records) = deploy(&stack, &sample()).await;
    assert_eq!(first.code, 0, "{}", first.stderr);
    let id = records[0]["deployment"].as_str().unwrap().to_owned();
    // What was written since: nobody could tell it from anything else.
    client.batch_execute("UPDATE users SET onboarding_completed = false WHERE id <= 7").await.unwrap();
    let back = stack.cli.run(&["rollback", &id, "--yes"]).await;
    assert_eq!(back.code, 0, "{}\n{}", back.stdout, back.stderr);
    for said in ["kept until it is purged: column users.onboarding_completed", "no row is lost"] {
        assert!(back.stdout.contains(said), "{said} is not in\n{}", back.stdout);
    }
    let column = "SELECT count(*) FROM information_schema.columns
         WHERE table_name = 'users' AND column_name = 'onboarding_completed'";
    assert_eq!(number(&client, column).await, 0);

    let listed = stack.cli.ok(&["saved", "list", "staging"]).await;
    assert!(listed.contains("users.onboarding") && listed.contains("2,000 rows"), "{listed}");
    let saved = stack.cli.run(&["--json", "saved", "list", "staging"]).await.json();
    let saved = saved[0][0]["saved"][0]["id"].as_str().unwrap().to_owned();
    let log = stack.cli.ok(&["status", &id]).await;
    assert!(log.contains(&id), "{log}");
    let shown = stack.cli.ok(&["saved", "show", &saved]).await;
    for said in
        ["ADD COLUMN onboarding_completed boolean", "by the rollback of", "by id", "stopover saved restore"]
    {
        assert!(shown.contains(said), "{said} is not in\n{shown}");
    }
    let early = stack.cli.run(&["saved", "restore", &saved]).await;
    assert_eq!((early.code, early.stderr.contains("apply the migration")), (1, true), "{}", early.stderr);

    let plan = stack.cli.run(&["plan", &sample()]).await.stdout;
    let plan = plan.split_whitespace().collect::<Vec<_>>().join(" ");
    let offer = format!("with --restore-saved puts them back, or `stopover saved restore {saved}`");
    assert!(plan.contains(&offer), "{plan}");
    let second = stack.cli.run(&["deploy", &sample(), "--again", "tried again"]).await;
    assert_eq!(second.code, 0, "{}", second.stderr);
    let wrong = "SELECT count(*) FROM users WHERE onboarding_completed <> (id > 7)";
    assert_eq!(number(&client, wrong).await, 7);
    let refused = stack.cli.run(&["saved", "restore", &saved, "--overwrite"]).await;
    assert_eq!((refused.code, refused.stderr.contains("--yes")), (2, true), "{}", refused.stderr);
    let careful = stack.cli.ok(&["saved", "restore", &saved]).await;
    assert!(careful.contains("7 rows hold another value by now"), "{careful}");
    let restored = stack.cli.ok(&["saved", "restore", &saved, "--overwrite", "--yes"]).await;
    assert!(restored.contains("7 rows of users.onboarding_completed are back"), "{restored}");
    assert_eq!(number(&client, wrong).await, 0);

    let purged = stack.cli.run(&["saved", "purge", &saved, "--yes"]).await;
    assert_eq!(purged.code, 0, "{}", purged.stderr);
    assert!(stack.cli.ok(&["saved", "list", "staging"]).await.contains("nothing is kept"));
    assert!(stack.cli.ok(&["saved", "list", "staging", "--purged"]).await.contains("purged by admin"));
    assert_nothing_left(&client).await;
}
