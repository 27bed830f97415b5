//! Backups in a bucket and on a disk, by the command line alone: made, listed, proven, restored; and what a killed agent leaves.

use stopover_tests::{AgentOptions, ObjectStore, Stack, eventually};

use crate::support::{Running, assert_nothing_left, deploy, number, one_stage};

const UP: &str = "ALTER TABLE users ADD COLUMN nick text; UPDATE users SET nick = 'new';";
const USERS: &str = "CREATE TABLE users (id int PRIMARY KEY, email text);
    INSERT INTO users SELECT i, md5(i::text) FROM generate_series(1, 5000) i; ANALYZE";
const SUM: &str = "SELECT count(*) * 1000000 + sum(hashtext(email)) % 1000000 FROM users";

async fn in_bucket(store: &ObjectStore, more: &str, sql: &str) -> (Stack, usize) {
    let backup =
        format!("destination = \"s3://backups/stopover\"\n{more}\n[backup.options]\n{}", store.options());
    let mut stack = Stack::start().await;
    let place = stack.environment_with("staging", AgentOptions { backup, ..AgentOptions::default() }).await;
    stack.agents[place].database.client().await.unwrap().batch_execute(sql).await.unwrap();
    stack.pipeline(&format!("{}backup = \"decoded\"\n", one_stage("staging", "pause"))).await;
    (stack, place)
}

/// Other tests' restores come and go on the same server.
async fn assert_no_restore_left(client: &tokio_postgres::Client) {
    let left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'stopover\\_restore%'";
    eventually("the end of all restores", || async { (number(client, left).await == 0).then_some(()) }).await;
}

#[tokio::test]
async fn a_backup_in_a_bucket_is_listed_proven_and_restored() {
    let store = ObjectStore::start().await;
    let (stack, place) = in_bucket(&store, "", USERS).await;
    let client = stack.agents[place].database.client().await.unwrap();
    let before = number(&client, SUM).await;
    let none = stack.cli.ok(&["backup", "list"]).await;
    assert!(none.contains("no backups"), "{none}");
    let migration = stack.migration("001_nick", &[("up.sql", UP)]);
    let (finished, records) = deploy(&stack, &migration).await;
    assert_eq!(finished.code, 0, "{}", finished.stderr);
    let deployment = records[0]["deployment"].as_str().unwrap().to_owned();

    let listed = stack.cli.run(&["--json", "backup", "list", "staging"]).await.json();
    let backup = &listed[0]["databases"][0]["found"]["backups"][0];
    assert_eq!(
        (&backup["deployment"], &backup["level"]),
        (&deployment.clone().into(), &"decoded".into()),
        "{listed:?}"
    );
    let id = backup["id"].as_str().unwrap();
    let table = stack.cli.ok(&["backup", "list"]).await;
    assert!(table.contains(id) && table.contains("staging/users"), "{table}");
    let shown = stack.cli.ok(&["backup", "show", &id[..6]]).await;
    assert!(shown.contains("s3://backups/stopover/staging-users-") && shown.contains(&deployment), "{shown}");
    let verified = stack.cli.ok(&["backup", "verify", id, "--restore"]).await;
    assert!(verified.contains(&format!("✓ {id} is what it was")), "{verified}");

    let name = format!("{}_copy", stack.agents[place].database.name());
    let restored = stack.cli.ok(&["backup", "restore", id, "--as", &name]).await;
    assert!(restored.contains(&format!("{id} is in the database {name}")), "{restored}");
    let again = stack.cli.run(&["backup", "restore", id, "--as", &name]).await;
    assert_eq!(
        (again.code, again.stderr.contains("already, and none is overwritten")),
        (1, true),
        "{}",
        again.stderr
    );
    let mut config = stack.agents[place].database.config().clone();
    config.dbname(&name);
    let (copy, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    assert_eq!(number(&copy, SUM).await, before);
    drop(copy);
    driver.await.unwrap().unwrap();
    assert_no_restore_left(&client).await;
    client.batch_execute(&format!("DROP DATABASE {name}")).await.unwrap();
    assert_nothing_left(&client).await;

    let unknown = stack.cli.run(&["backup", "show", "0000000000"]).await;
    assert_eq!(
        (unknown.code, unknown.stderr.contains("stopover backup list")),
        (2, true),
        "{}",
        unknown.stderr
    );
}

#[tokio::test]
async fn an_agent_killed_during_an_upload_leaves_nothing_that_looks_like_a_backup() {
    let store = ObjectStore::start().await;
    let sql = "CREATE TABLE users (id int, email text);
        INSERT INTO users SELECT i, string_agg(md5(random()::text), '') FROM generate_series(1, 40000) i,
            generate_series(1, 50) GROUP BY i";
    let (mut stack, place) = in_bucket(&store, "", sql).await;
    let migration = stack.migration("001_nick", &[("up.sql", "ALTER TABLE users ADD COLUMN nick text;")]);
    let mut running = Running::deploy(&stack, &migration);
    eventually("the upload", || async { (store.parts() > 0).then_some(()) }).await;
    stack.kill_agent(place);
    let left = store.objects("stopover");
    assert!(left.len() == 1 && left[0].ends_with(".uploading"), "{left:?}");
    stack.start_agent(place);
    assert_eq!(running.ended().await, 0, "{}", running.process.output());
    let objects = store.objects("stopover");
    assert!(
        objects.len() == 2 && objects[0].contains(".dump.zst") && objects[1].contains(".json"),
        "{objects:?}"
    );
    assert_eq!(store.uploads(), 0);
    assert!(running.process.output().contains("interrupted uploads"), "{}", running.process.output());
}

#[tokio::test]
async fn over_the_live_database_only_alone_after_a_fresh_backup_and_the_old_one_is_kept() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    let database = stack.agents[place].database.name().to_owned();
    let client = stack.agents[place].database.client().await.unwrap();
    client.batch_execute(USERS).await.unwrap();
    client
        .batch_execute(&format!("ALTER DATABASE {database} SET search_path TO \"$user\", public, audit"))
        .await
        .unwrap();
    stack.pipeline(&one_stage("staging", "pause")).await;
    let before = number(&client, SUM).await;
    let migration = stack.migration("001_nick", &[("up.sql", UP)]);
    assert_eq!(deploy(&stack, &migration).await.0.code, 0);
    client.batch_execute("DELETE FROM users WHERE id > 10").await.unwrap();
    let listed = stack.cli.run(&["--json", "backup", "list"]).await.json();
    let id = listed[0]["databases"][0]["found"]["backups"][0]["id"].as_str().unwrap().to_owned();

    let asked = stack.cli.run(&["backup", "restore", &id, "--over-live"]).await;
    assert_eq!((asked.code, asked.stderr.contains("no terminal to ask on")), (2, true), "{}", asked.stderr);
    let refused = stack.cli.run(&["backup", "restore", &id, "--over-live", "--yes"]).await;
    assert_eq!(
        (refused.code, refused.stderr.contains("others are in the database")),
        (1, true),
        "{}",
        refused.stderr
    );
    assert_eq!(number(&client, "SELECT count(*) FROM users").await, 10);

    let done = stack
        .cli
        .run(&["--json", "backup", "restore", &id, "--over-live", "--disconnect-others", "--yes"])
        .await;
    assert_eq!(done.code, 0, "{}\n{}", done.stdout, done.stderr);
    let report = done.json().pop().unwrap();
    assert_eq!(report["database_name"], database.as_str());
    let kept = report["kept_as"].as_str().unwrap().to_owned();
    let client = stack.agents[place].database.client().await.unwrap();
    assert_eq!(number(&client, SUM).await, before);
    let path: String = client.query_one("SHOW search_path", &[]).await.unwrap().get(0);
    assert_eq!(path, "\"$user\", public, audit");
    let fresh = report["fresh_backup"].as_str().unwrap();
    assert!(std::path::Path::new(fresh).is_file(), "{fresh}");
    let mut config = stack.agents[place].database.config().clone();
    config.dbname(&kept);
    let (old, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    assert_eq!(number(&old, "SELECT count(*) FROM users").await, 10);
    drop(old);
    driver.await.unwrap().unwrap();
    client.batch_execute(&format!("DROP DATABASE {kept}")).await.unwrap();
    let again = deploy(&stack, &migration).await;
    assert_eq!(again.0.code, 0, "{}", again.0.stderr);
    assert_nothing_left(&client).await;
}

#[tokio::test]
async fn what_is_damaged_or_forged_is_told_and_never_restored() {
    let mut stack = Stack::start().await;
    let place = stack.environment("staging").await;
    stack.agents[place].database.client().await.unwrap().batch_execute(USERS).await.unwrap();
    stack.pipeline(&one_stage("staging", "pause")).await;
    let migration = stack.migration("001_nick", &[("up.sql", UP)]);
    assert_eq!(deploy(&stack, &migration).await.0.code, 0);
    let listed = stack.cli.run(&["--json", "backup", "list"]).await.json();
    let backup = &listed[0]["databases"][0]["found"]["backups"][0];
    let (id, file) = (backup["id"].as_str().unwrap(), backup["location"].as_str().unwrap());
    let good = std::fs::read(file).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let name = format!("{}_copy", stack.agents[place].database.name());
    for bad in [&flipped[..], &good[..good.len() - 1]] {
        std::fs::write(file, bad).unwrap();
        let found = stack.cli.run(&["backup", "verify", id]).await;
        assert_eq!((found.code, found.stderr.contains("is not what it was")), (1, true), "{}", found.stderr);
        let found = stack.cli.run(&["backup", "restore", id, "--as", &name]).await;
        assert_eq!((found.code, found.stderr.contains("is not what it was")), (1, true), "{}", found.stderr);
    }
    let client = stack.agents[place].database.client().await.unwrap();
    let made = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(number(&client, &made).await, 0);
    assert_no_restore_left(&client).await;

    std::fs::write(file, &good).unwrap();
    let manifest = std::fs::read_dir(stack.agents[place].backups()).unwrap();
    let manifest =
        manifest.map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "json")).unwrap();
    let text = std::fs::read_to_string(&manifest).unwrap();
    let own = std::path::Path::new(file).file_name().unwrap().to_str().unwrap();
    std::fs::write(&manifest, text.replace(own, "../../../etc/passwd")).unwrap();
    let forged = stack.cli.run(&["backup", "list"]).await;
    assert!(forged.stderr.contains("not the file that belongs to it"), "{}", forged.stderr);
    std::fs::write(&manifest, &text).unwrap();
    std::fs::rename(file, format!("{file}.moved")).unwrap();
    std::os::unix::fs::symlink(format!("{file}.moved"), file).unwrap();
    let linked = stack.cli.run(&["backup", "verify", id]).await;
    assert_eq!((linked.code, linked.stderr.contains("it is a link")), (1, true), "{}", linked.stderr);
}
