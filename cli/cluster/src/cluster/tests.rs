//! A cluster's whole life: connections, stops, kills, and above all that nothing is left behind.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;
use crate::TestDatabase;

const DEADLINE: Duration = Duration::from_secs(20);
/// Set for the process that a test starts from its own binary, to be killed.
const VICTIM: &str = "STOPOVER_CLUSTER_VICTIM";

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "after {DEADLINE:?}, still waiting until {what}");
        sleep(POLL).await;
    }
}

fn is_gone(root: &Path) -> bool {
    !root.exists() && processes_in(&root.join("data")).is_empty()
}

#[tokio::test]
async fn a_cluster_serves_by_url_keeps_its_settings_and_asks_for_the_password() {
    let cluster = Cluster::builder().name("staging").setting("work_mem", "7MB").start().await.unwrap();
    cluster.create_database("We\"ird; name").await.unwrap();
    assert!(
        cluster.url("We\"ird; name").ends_with("/We%22ird%3B%20name"),
        "{}",
        cluster.url("We\"ird; name")
    );

    let config: Config = cluster.url("We\"ird; name").parse().unwrap();
    let client = connect("staging", &config).await.unwrap();
    let row = client
        .query_one(
            "SELECT current_database(), current_setting('work_mem'), current_setting('cluster_name'),
                    current_setting('fsync'), current_setting('server_encoding')",
            &[],
        )
        .await
        .unwrap();
    let found: Vec<String> = (0..5).map(|column| row.get(column)).collect();
    assert_eq!(found, ["We\"ird; name", "7MB", "staging", "off", "UTF8"]);

    let mut wrong = cluster.config("postgres");
    wrong.password("wrong");
    let error = connect("staging", &wrong).await.unwrap_err();
    assert_eq!(error.to_string(), "could not connect to the database \"postgres\" of the cluster staging");
    assert!(cluster.log().contains("password authentication failed"), "{}", cluster.log());
}

#[tokio::test]
async fn a_durable_cluster_keeps_fsync_on() {
    let cluster = Cluster::builder().durable(true).start().await.unwrap();
    let client = cluster.client("postgres").await.unwrap();
    let row = client
        .query_one("SELECT current_setting('fsync'), current_setting('full_page_writes')", &[])
        .await
        .unwrap();
    assert_eq!((row.get(0), row.get(1)), ("on", "on"));
}

#[tokio::test]
async fn a_bad_setting_is_an_error_that_shows_the_log_and_leaves_nothing() {
    let error =
        Cluster::builder().name("bad-setting").setting("no_such_setting", "1").start().await.unwrap_err();
    assert!(
        error.to_string().contains("unrecognized configuration parameter \"no_such_setting\""),
        "{error}"
    );
    let base = crate::owner::base_directory(crate::owner::ServerUser::needed().unwrap()).unwrap();
    let left = std::fs::read_dir(base).unwrap().filter_map(Result::ok);
    let left: Vec<_> =
        left.filter(|entry| entry.file_name().to_string_lossy().contains("bad-setting")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_stopped_or_killed_server_comes_back_on_its_port_with_its_data() {
    let cluster = Cluster::builder().start().await.unwrap();
    let client = cluster.client("postgres").await.unwrap();
    client.batch_execute("CREATE TABLE kept AS SELECT 1 AS n").await.unwrap();
    let first = cluster.pid().unwrap();

    cluster.stop().await.unwrap();
    assert_eq!(cluster.pid(), None);
    assert!(cluster.client("postgres").await.is_err());
    cluster.stop().await.unwrap();
    cluster.start_again().await.unwrap();
    let second = cluster.pid().unwrap();
    assert_ne!(first, second);

    let sleeper = cluster.client("postgres").await.unwrap();
    let asleep = tokio::spawn(async move {
        sleeper.batch_execute("INSERT INTO kept VALUES (2); SELECT pg_sleep(600)").await
    });
    let watcher = cluster.client("postgres").await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    while watcher
        .query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'", &[])
        .await
        .unwrap()
        .is_empty()
    {
        assert!(Instant::now() < deadline, "the sleeper never slept");
        sleep(POLL).await;
    }
    cluster.kill9().await.unwrap();
    assert!(asleep.await.unwrap().is_err(), "its session ended with the server");
    cluster.start_again().await.unwrap();
    let client = cluster.client("postgres").await.unwrap();
    let kept = client.query_one("SELECT array_agg(n) FROM kept", &[]).await.unwrap().get::<_, Vec<i32>>(0);
    assert_eq!(kept, [1], "what was committed is there, what was not is not");
    cluster.stop_immediately().await.unwrap();
    cluster.start_again().await.unwrap();
}

#[tokio::test]
async fn tls_is_served_with_the_given_certificate() {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    let cluster = Cluster::builder().tls(&certificate, &key).start().await.unwrap();
    let client = cluster.client("postgres").await.unwrap();
    let ssl = client.query_one("SHOW ssl", &[]).await.unwrap();
    assert_eq!(ssl.get::<_, &str>(0), "on");
    // 'S' is the server's answer to an SSLRequest that it will honour.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", cluster.port())).unwrap();
    std::io::Write::write_all(&mut stream, &[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    let mut answer = [0];
    std::io::Read::read_exact(&mut stream, &mut answer).unwrap();
    assert_eq!(&answer, b"S");
}

#[tokio::test]
async fn dropping_leaves_nothing_even_after_a_panic_or_a_killed_guard() {
    let cluster = Cluster::builder().start().await.unwrap();
    let root = cluster.root.clone();
    assert!(root.exists() && cluster.pid().is_some());
    drop(cluster);
    assert!(is_gone(&root));

    let cluster = Cluster::builder().start().await.unwrap();
    let root = cluster.root.clone();
    let failed = tokio::spawn(async move {
        assert_eq!(cluster.name(), "another", "this failure is the point of the test");
    });
    assert!(failed.await.unwrap_err().is_panic());
    assert!(is_gone(&root));

    let cluster = Cluster::builder().start().await.unwrap();
    let root = cluster.root.clone();
    let guard = cluster.own().unwrap().guard.as_ref().unwrap();
    kill_process(Pid::from_raw(i32::try_from(guard.pid()).unwrap()).unwrap(), Signal::KILL).unwrap();
    cluster.kill9().await.unwrap();
    drop(cluster);
    assert!(is_gone(&root));
}

#[tokio::test]
async fn a_cluster_ends_when_its_owner_is_killed() {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cluster::tests::the_owner_that_is_killed", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(owner.stdout.take().unwrap());
    let root = output
        .lines()
        .map_while(Result::ok)
        .find_map(|line| Some(PathBuf::from(line.split_once("root=")?.1)));
    let root = root.expect("the owner says where its cluster is");
    assert!(!processes_in(&root.join("data")).is_empty());
    owner.kill().unwrap();
    owner.wait().unwrap();
    until("its cluster is gone", || is_gone(&root)).await;
}

/// Not a test by itself: the other process of the one above.
#[tokio::test]
async fn the_owner_that_is_killed() {
    if std::env::var_os(VICTIM).is_some() {
        let cluster = Cluster::builder().name("victim").start().await.unwrap();
        println!("\nroot={}", cluster.root.display());
        sleep(Duration::from_mins(10)).await;
    }
}

#[tokio::test]
async fn a_test_database_is_dropped_although_somebody_is_connected() {
    let cluster = Cluster::shared().await.unwrap();
    let database = TestDatabase::create(&cluster).await.unwrap();
    let client = database.client().await.unwrap();
    client.batch_execute("CREATE TABLE mine (n INT)").await.unwrap();
    let other = TestDatabase::shared().await.unwrap();
    assert_ne!(database.name(), other.name());
    assert_eq!(database.url(), cluster.url(database.name()));

    let name = database.name().to_owned();
    drop(database);
    let postgres = cluster.client("postgres").await.unwrap();
    let left = postgres.query("SELECT 1 FROM pg_database WHERE datname = $1", &[&name]).await.unwrap();
    assert!(left.is_empty());
}
