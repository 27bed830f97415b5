mod parallel;
mod restored;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use stopover_cluster::Cluster;
use stopover_model::event::StepKind;
use stopover_model::id::Attempt;
use tempfile::TempDir;

use super::*;
use crate::step::StepContext;
use crate::testing::{context, database, messages, prepared};

const TABLES: &str = "CREATE TABLE users (id int PRIMARY KEY, email text);
    INSERT INTO users SELECT i, md5(i::text) FROM generate_series(1, 20000) i; ANALYZE";

pub(super) struct Place {
    root: TempDir,
    pub(super) settings: BackupSettings,
}

pub(super) fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let scratch = root.path().join("tmp");
    std::fs::create_dir(&scratch).unwrap();
    let directory = root.path().join("backups");
    let vault = Vault::directory(directory.clone());
    let programs = ProgramPaths::default();
    let settings = BackupSettings { directory, vault, jobs: 1, command: None, scratch, programs };
    Place { root, settings }
}

impl Place {
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.settings.directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn scratch_is_empty(&self) -> bool {
        std::fs::read_dir(&self.settings.scratch).unwrap().next().is_none()
    }
}

fn decoded() -> BackupRequest {
    BackupRequest::at(BackupLevel::Decoded)
}

fn report(outcome: Outcome) -> BackupReport {
    match outcome {
        Outcome::Succeeded { report: StepReport::BackedUp(report) } => report,
        other => panic!("{other:?}"),
    }
}

fn error(outcome: &Outcome) -> &StepError {
    outcome.error().unwrap()
}

/// Runs the report's own command, as a person would.
fn restore(report: &BackupReport, cluster: &Cluster, into: &str) {
    let (command, _) = report.restore_command.rsplit_once(" -d ").unwrap();
    let status = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {command} -d \"$TARGET\"")])
        .env("PGPASSWORD", cluster.password())
        .env("TARGET", format!("dbname='{into}' host=127.0.0.1 user=postgres port={}", cluster.port()))
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_backup_is_whole_private_and_restores() {
    let source = prepared(TABLES).await;
    let place = place();
    let context = context(source.url(), StepKind::Backup);
    let report = report(run(&context, &place.settings, &decoded()).await);
    assert_eq!(report.level, BackupLevel::Decoded);
    assert_eq!(std::fs::metadata(&report.path).unwrap().len(), report.bytes);
    let files = place.files();
    assert_eq!(files.len(), 2, "{files:?}");
    assert!(
        files[0].ends_with(&format!("-{}.dump.zst", context.deployment))
            && files[1].ends_with(&format!("-{}.json", context.deployment)),
        "{files:?}"
    );
    for file in &files {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(place.settings.directory.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}");
    }
    assert!(place.scratch_is_empty());
    let cluster = Cluster::shared().await.unwrap();
    let target = prepared("").await;
    restore(&report, &cluster, target.name());
    let sql = "SELECT count(*), sum(hashtext(email)) FROM users";
    let (from, to) = (source.client().await.unwrap(), target.client().await.unwrap());
    let sums = |row: tokio_postgres::Row| (row.get::<_, i64>(0), row.get::<_, i64>(1));
    assert_eq!(sums(to.query_one(sql, &[]).await.unwrap()), sums(from.query_one(sql, &[]).await.unwrap()));
}

#[tokio::test]
async fn an_attempt_that_is_done_is_not_done_again_and_a_spoilt_one_is() {
    let source = prepared(TABLES).await;
    let place = place();
    let mut context = context(source.url(), StepKind::Backup);
    let first = report(run(&context, &place.settings, &decoded()).await);
    let again = report(run(&context, &place.settings, &decoded()).await);
    assert_eq!((&first.path, first.sha256), (&again.path, again.sha256));
    assert!(messages(&context)[0].contains("is there already"));
    let mut bytes = std::fs::read(&first.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&first.path, bytes).unwrap();
    let third = report(run(&context, &place.settings, &decoded()).await);
    assert_ne!(first.path, third.path);
    context.attempt = Attempt(2);
    let fourth = report(run(&context, &place.settings, &decoded()).await);
    assert_eq!([&first, &third, &fourth].map(|r| Path::new(&r.path).exists()), [true; 3]);
    assert_eq!(place.files().len(), 6);
}

#[tokio::test]
async fn leftovers_of_a_killed_run_go_and_those_of_others_stay() {
    let source = prepared("CREATE TABLE t (a int)").await;
    let place = place();
    std::fs::create_dir(&place.settings.directory).unwrap();
    let context = context(source.url(), StepKind::Backup);
    let leftover = |name: String| std::fs::write(place.settings.directory.join(name), "x").unwrap();
    let stamp = "20200101T000000Z";
    leftover(format!("staging-users-{stamp}-{}.dump.zst.partial", context.deployment));
    leftover(format!("staging-users-{stamp}-{}.json", context.deployment));
    leftover(format!("staging-users-{stamp}-0000000000.dump.zst.partial"));
    report(run(&context, &place.settings, &decoded()).await);
    let files = place.files();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files[0].ends_with("-0000000000.dump.zst.partial"), "{files:?}");
}

#[tokio::test]
async fn a_hostile_database_name_is_dumped_and_not_dialled() {
    let cluster = Cluster::shared().await.unwrap();
    let name = format!("src host=evil port=1 {}", std::process::id());
    cluster.create_database(&name).await.unwrap();
    cluster.client(&name).await.unwrap().batch_execute("CREATE TABLE marker (a int)").await.unwrap();
    let place = place();
    let report =
        report(run(&context(&cluster.url(&name), StepKind::Backup), &place.settings, &decoded()).await);
    let target = prepared("").await;
    restore(&report, &cluster, target.name());
    target.client().await.unwrap().batch_execute("SELECT FROM marker").await.unwrap();
    assert!(
        report.restore_command.contains(&format!("dbname='\\''{name}'\\''")),
        "{}",
        report.restore_command
    );
    let drop = format!("DROP DATABASE \"{name}\"");
    cluster.client("postgres").await.unwrap().batch_execute(&drop).await.unwrap();
}

#[tokio::test]
async fn a_password_of_any_characters_gets_there_and_nowhere_else() {
    let source = prepared("CREATE TABLE t (a int)").await;
    let admin = source.client().await.unwrap();
    let role = format!("dumper_{}", source.name());
    let create = format!("CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'a:b\\c'' d'");
    admin.batch_execute(&create).await.unwrap();
    let port = source.config().get_ports()[0];
    let url = |password: &str| {
        format!("host=127.0.0.1 port={port} user={role} dbname={} password='{password}'", source.name())
    };
    let place = place();
    report(run(&context(&url(r"a:b\\c\' d"), StepKind::Backup), &place.settings, &decoded()).await);
    let mut refused = context(&url("hunter2"), StepKind::Backup);
    refused.attempt = Attempt(2);
    let wrong = run(&refused, &place.settings, &decoded()).await;
    let error = error(&wrong);
    assert_eq!(error.class, ErrorClass::Setup);
    assert!(!format!("{error:?}").contains("hunter2"));
    admin.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn a_failing_pg_dump_leaves_its_words_and_nothing_else() {
    let source = prepared("CREATE TABLE secret (a int)").await;
    let admin = source.client().await.unwrap();
    let role = format!("reader_{}", source.name());
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await.unwrap();
    let port = source.config().get_ports()[0];
    let url = format!("host=127.0.0.1 port={port} user={role} dbname={} password=x", source.name());
    let place = place();
    let outcome = run(&context(&url, StepKind::Backup), &place.settings, &decoded()).await;
    let error = error(&outcome);
    assert!(error.message.contains("permission denied"), "{}", error.message);
    assert!(error.hint.as_ref().unwrap().contains("pg_read_all_data"));
    assert_eq!(place.files(), Vec::<String>::new());
    assert!(place.scratch_is_empty());
    admin.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_backup_ends_its_dump_and_leaves_nothing() {
    const SOON: Duration = Duration::from_secs(20);
    let source = prepared(TABLES).await;
    let blocker = source.client().await.unwrap();
    blocker.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let place = place();
    let context = context(source.url(), StepKind::Backup);
    let (cancel, settings) = (context.cancel.clone(), place.settings.clone());
    let running = tokio::spawn(async move { run(&context, &settings, &decoded()).await });
    let dumping = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
        AND query LIKE 'LOCK TABLE%'";
    let observer = source.client().await.unwrap();
    let until = async |wanted: bool| {
        while observer.query_one(dumping, &[]).await.unwrap().get::<_, bool>(0) != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, until(true)).await.expect("pg_dump waits for its lock");
    cancel.cancel();
    let outcome = tokio::time::timeout(SOON, running).await.unwrap().unwrap();
    assert_eq!(error(&outcome).class, ErrorClass::Cancelled);
    tokio::time::timeout(SOON, until(false)).await.expect("its query ends");
    assert_eq!(place.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_backup_that_waits_for_a_lock_names_its_holder_once() {
    let source = prepared(TABLES).await;
    let blocker = source.client().await.unwrap();
    let hold = "SET application_name = 'nightly report'; BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE";
    blocker.batch_execute(hold).await.unwrap();
    let pid: i32 = blocker.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let place = place();
    let context = context(source.url(), StepKind::Backup);
    let (of_run, settings) = (context.clone(), place.settings.clone());
    let running = tokio::spawn(async move { run(&of_run, &settings, &decoded()).await });
    let waits = async {
        let (mut lines, mut progress) = (context.reporter.watch_lines(), context.reporter.watch_progress());
        lines.wait_for(|lines| *lines > 0).await.unwrap();
        let waiting = |doing: &str| doing == "waiting for a lock";
        progress.wait_for(|now| now.as_ref().is_some_and(|now| waiting(&now.doing))).await.unwrap();
        // A second look at the same blocker has nothing new to say.
        progress.changed().await.unwrap();
        progress.changed().await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(20), waits).await.expect("the backup says that it waits");
    blocker.batch_execute("COMMIT").await.unwrap();
    report(tokio::time::timeout(Duration::from_mins(1), running).await.unwrap().unwrap());
    let said = messages(&context);
    let named: Vec<_> = said.iter().filter(|line| line.contains("waits for")).collect();
    assert_eq!(named.len(), 1, "{said:?}");
    let expected =
        format!("pg_dump waits for pid {pid} (nightly report as postgres, idle in transaction for ");
    assert!(named[0].starts_with(&expected), "{named:?}");
    assert!(named[0].ends_with("), which holds a lock that the dump needs"), "{named:?}");
}

#[tokio::test]
async fn a_truncated_or_changed_archive_is_not_a_backup() {
    let source = prepared(TABLES).await;
    let place = place();
    let context = context(source.url(), StepKind::Backup);
    let good = report(run(&context, &place.settings, &decoded()).await);
    let programs = programs::find(&ProgramPaths::default(), 150_000).await.unwrap();
    let written = archive::Written { bytes: good.bytes, sha256: good.sha256, dump_bytes: 0 };
    let bytes = std::fs::read(&good.path).unwrap();
    decode::run(&context, &programs, Path::new(&good.path), &written).await.unwrap();
    let bad = place.root.path().join("bad");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 3] ^= 0x10;
    // An archive that lost its second half before it was compressed: every checksum is right, and it is no archive.
    let plain = Command::new("zstd").arg("-dc").arg(&good.path).output().unwrap().stdout;
    let mut file = tokio::fs::File::create(&bad).await.unwrap();
    let cut = archive::write(&plain[..plain.len() / 2], &mut file, place.root.path(), |_| {}).await.unwrap();
    let reason = decode::run(&context, &programs, &bad, &cut).await.unwrap_err();
    assert!(reason.message.contains("pg_restore could not decode it"), "{}", reason.message);
    for wrong in [&flipped[..], &bytes[..bytes.len() - 1], &bytes[..bytes.len() / 2], &[]] {
        std::fs::write(&bad, wrong).unwrap();
        let reason = decode::run(&context, &programs, &bad, &written).await.unwrap_err();
        assert!(reason.message.contains("could not be read back"), "{}", reason.message);
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_or_too_small_is_refused_early() {
    let source = prepared("").await;
    let mut place = place();
    let context = context(source.url(), StepKind::Backup);
    place.settings.directory = "/nonexistent/backups".into();
    place.settings.vault = Vault::directory(place.settings.directory.clone());
    let outcome = run(&context, &place.settings, &decoded()).await;
    assert!(error(&outcome).message.contains("/nonexistent/backups is not there"), "{outcome:?}");
    assert!(
        space::check(place.root.path(), u64::MAX / 2)
            .unwrap_err()
            .message
            .contains("no space for the backup")
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_a_passing_failure() {
    let place = place();
    let mut context = context("host=127.0.0.1 port=1 dbname=x user=x", StepKind::Backup);
    context.database = database("host=127.0.0.1 port=1 dbname=x user=x");
    let outcome = run(&context, &place.settings, &decoded()).await;
    let error = error(&outcome);
    assert_eq!(error.class, ErrorClass::Transient);
    assert_eq!(error.message, "could not connect to the database at 127.0.0.1:1: Connection refused");
    assert!(error.hint.as_ref().unwrap().contains("check that the database runs"), "{error:?}");
}

#[tokio::test]
async fn pg_dump_proves_the_server_as_the_agent_does() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let cluster =
        Cluster::builder().name("tls").tls(&certificate, &key.serialize_pem()).start().await.unwrap();
    let place = place();
    let (trusted, other) = (place.root.path().join("ca.pem"), place.root.path().join("other.pem"));
    std::fs::write(&trusted, &certificate).unwrap();
    let stranger = rcgen::KeyPair::generate().unwrap();
    std::fs::write(&other, params.self_signed(&stranger).unwrap().pem()).unwrap();
    let url = |root: &Path| {
        format!("{}?sslmode=verify-full&sslrootcert={}", cluster.superuser_url(), root.display())
    };
    report(run(&context(&url(&trusted), StepKind::Backup), &place.settings, &decoded()).await);

    let untrusting = context(&url(&other), StepKind::Backup);
    let connection =
        connection::Connection::of(&untrusting.database, "a test", &place.settings.scratch).await.unwrap();
    let programs = programs::find(&ProgramPaths::default(), 150_000).await.unwrap();
    let dumped = Command::new(programs.pg_dump)
        .env_clear()
        .envs(connection.environment.iter().cloned())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&dumped.stderr).into_owned();
    assert!(!dumped.status.success() && said.contains("certificate verify failed"), "{said}");
}
