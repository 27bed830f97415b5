//! Many processes meet in one cluster, and it ends after the last of them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);
/// Names the meeting directory for the processes that a test starts from its own binary.
const MEETING: &str = "STOPOVER_CLUSTER_MEETING";
const SHORT: Duration = Duration::from_secs(1);

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let meeting = directory.path().join("meeting");
    (directory, meeting)
}

async fn until_gone(meeting: &Path, root: &Path) {
    let deadline = Instant::now() + DEADLINE;
    while root.exists() || meeting.exists() {
        assert!(Instant::now() < deadline, "{} or {} is still there", root.display(), meeting.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Another process that joins and stays until it is killed, and the port that it found.
fn comer(meeting: &Path) -> (Child, u16) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "shared::tests::one_that_comes", "--nocapture"])
        .env(MEETING, meeting)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.map_while(Result::ok).find_map(|line| line.split_once("port=")?.1.parse().ok());
    (child, port.expect("it says which port it found"))
}

/// Not a test by itself: the other processes of the ones below.
#[tokio::test]
async fn one_that_comes() {
    if let Some(meeting) = std::env::var_os(MEETING) {
        let cluster = join_at(Path::new(&meeting), SHORT).await.unwrap();
        println!("\nport={}", cluster.port());
        tokio::time::sleep(Duration::from_mins(10)).await;
    }
}

#[tokio::test]
async fn processes_share_one_cluster_which_ends_after_the_last_even_if_all_are_killed() {
    let (_directory, meeting) = place();
    let comers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(|| comer(&meeting))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let ours = join_at(&meeting, SHORT).await.unwrap();
    for (mut process, port) in comers {
        assert_eq!(port, ours.port());
        process.kill().unwrap();
        process.wait().unwrap();
    }
    let client = ours.client("postgres").await.unwrap();
    tokio::time::sleep(SHORT * 3).await;
    client.query_one("SELECT 1", &[]).await.expect("one user is left, so it lives");
    assert!(matches!(ours.kill9().await, Err(ClusterError::Shared)));

    let root = ours.socket_directory().to_owned();
    drop(ours);
    until_gone(&meeting, &root).await;
}

#[tokio::test]
async fn a_shared_cluster_that_died_is_replaced() {
    let (_directory, meeting) = place();
    let first = join_at(&meeting, SHORT).await.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(first.pid().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::QUIT).unwrap();
    while first.pid().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = join_at(&meeting, SHORT).await.unwrap();
    second.client("postgres").await.unwrap();
    let (old, new) = (first.socket_directory().to_owned(), second.socket_directory().to_owned());
    assert_ne!(old, new);
    drop((first, second));
    until_gone(&meeting, &new).await;
    until_gone(&meeting, &old).await;
}

#[tokio::test]
async fn a_meeting_directory_that_others_can_write_to_is_refused() {
    let (_directory, meeting) = place();
    DirBuilder::new().mode(0o777).create(&meeting).unwrap();
    fs::set_permissions(&meeting, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let error = join_at(&meeting, SHORT).await.unwrap_err();
    assert!(error.to_string().starts_with("could not meet other tests in"), "{error}");
}
