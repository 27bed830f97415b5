//! Backups that go into a bucket, that are encrypted, and that go again.
#![cfg(feature = "encryption")]

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use jiff::{SignedDuration, Timestamp};
use stopover_cluster::{Cluster, TestDatabase};
use stopover_model::event::StepKind;
use stopover_model::id::{Attempt, DeploymentId};
use stopover_model::report::LogLine;
use stopover_tests::ObjectStore;
use tempfile::TempDir;

use super::manifest::Manifest;
use super::*;
use crate::testing::{context, messages, prepared};
use crate::vault::{Recipients, Retention};

const TABLES: &str = "CREATE TABLE users (id int PRIMARY KEY, email text);
    INSERT INTO users SELECT i, md5(i::text) FROM generate_series(1, 20000) i; ANALYZE";
const PREFIX: &str = "here";

struct Place {
    _root: TempDir,
    store: ObjectStore,
    settings: BackupSettings,
}

async fn place(recipients: &[String]) -> Place {
    let root = tempfile::tempdir().unwrap();
    let scratch = root.path().join("tmp");
    std::fs::create_dir(&scratch).unwrap();
    let store = ObjectStore::start().await;
    let vault = Vault {
        destination: Destination::Bucket(Arc::new(crate::vault::tests::bucket(&store, 2))),
        recipients: Recipients::parse(recipients).unwrap(),
        retention: Retention::default(),
    };
    let directory = root.path().join("backups");
    let settings = BackupSettings {
        directory,
        vault,
        jobs: 1,
        command: None,
        scratch,
        programs: ProgramPaths::default(),
    };
    Place { _root: root, store, settings }
}

fn asked(level: BackupLevel) -> BackupRequest {
    BackupRequest::at(level)
}

fn report(outcome: Outcome) -> BackupReport {
    match outcome {
        Outcome::Succeeded { report: StepReport::BackedUp(report) } => report,
        other => panic!("{other:?}"),
    }
}

/// Restores what lies there by the programs that a person would use.
async fn restored(file: Vec<u8>, identity: Option<&age::x25519::Identity>) -> TestDatabase {
    let plain = match identity {
        None => file,
        Some(identity) => age::decrypt(identity, &file).unwrap(),
    };
    let target = prepared("").await;
    let cluster = Cluster::shared().await.unwrap();
    let into = format!("dbname='{}' host=127.0.0.1 user=postgres port={}", target.name(), cluster.port());
    let mut child = std::process::Command::new("bash")
        .args(["-c", "set -o pipefail; zstd -dc | pg_restore --no-owner --exit-on-error -d \"$TARGET\""])
        .env("PGPASSWORD", cluster.password())
        .env("TARGET", into)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&plain).unwrap();
    assert!(child.wait().unwrap().success());
    target
}

async fn sum(database: &TestDatabase) -> (i64, i64) {
    let sql = "SELECT count(*), sum(hashtext(email)) FROM users";
    let row = database.client().await.unwrap().query_one(sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_backup_in_a_bucket_restores_to_the_same_data() {
    let source = prepared(TABLES).await;
    let place = place(&[]).await;
    let context = context(source.url(), StepKind::Backup);
    let report = report(run(&context, &place.settings, &asked(BackupLevel::Decoded)).await);
    assert!(report.path.starts_with("s3://backups/here/staging-users-"), "{}", report.path);
    assert!(report.restore_command.starts_with("aws s3 cp s3://backups/here/"), "{}", report.restore_command);
    let objects = place.store.objects(PREFIX);
    assert_eq!(objects.len(), 2, "{objects:?}");
    assert!(objects[0].contains(".dump.zst") && objects[1].contains(".json"), "{objects:?}");
    assert!(!place.settings.directory.exists(), "no copy lies on this machine");
    let file = std::fs::read(place.store.directory().join(PREFIX).join(&objects[0])).unwrap();
    assert_eq!(file.len() as u64, report.bytes);
    assert_eq!(sum(&restored(file, None).await).await, sum(&source).await);

    let again = self::report(run(&context, &place.settings, &asked(BackupLevel::Decoded)).await);
    assert_eq!((again.path, again.id), (report.path, report.id));
    assert!(messages(&context)[0].contains("is there already"));
}

#[tokio::test]
async fn only_the_identity_reads_an_encrypted_backup_wherever_it_lies() {
    let source = prepared(TABLES).await;
    let identity = age::x25519::Identity::generate();
    let secret = identity.to_string().expose_secret().to_owned();
    let mut place = place(&[identity.to_public().to_string()]).await;
    let own = place.settings.directory.clone();
    std::fs::create_dir(&own).unwrap();
    for destination in [place.settings.vault.destination.clone(), Destination::Directory(own.clone())] {
        place.settings.vault.destination = destination;
        let context = context(source.url(), StepKind::Backup);
        let report = report(run(&context, &place.settings, &asked(BackupLevel::Decoded)).await);
        assert!(report.encrypted && report.path.ends_with(".dump.zst.age"), "{report:?}");
        assert!(report.restore_command.contains("| age -d -i IDENTITY | zstd -dc |"), "{report:?}");
        let file = match report.path.strip_prefix("s3://backups/") {
            Some(object) => place.store.directory().join(object),
            None => report.path.clone().into(),
        };
        let bytes = std::fs::read(file).unwrap();
        assert!(zstd_fails(&bytes));
        assert_eq!(sum(&restored(bytes, Some(&identity)).await).await, sum(&source).await);
        assert!(!format!("{:?}{:?}", place.settings, messages(&context)).contains(&secret));
    }
}

fn zstd_fails(bytes: &[u8]) -> bool {
    let mut zstd = std::process::Command::new("zstd")
        .args(["-dc"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _ = zstd.stdin.take().unwrap().write_all(bytes);
    !zstd.wait().unwrap().success()
}

#[tokio::test]
async fn a_dump_that_fails_or_is_cancelled_leaves_nothing_in_the_bucket() {
    let source = prepared("CREATE TABLE secret (a int)").await;
    let admin = source.client().await.unwrap();
    let role = format!("bucket_reader_{}", source.name());
    admin.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await.unwrap();
    let port = source.config().get_ports()[0];
    let url = format!("host=127.0.0.1 port={port} user={role} dbname={} password=x", source.name());
    let place = place(&[]).await;
    let failed = run(&context(&url, StepKind::Backup), &place.settings, &asked(BackupLevel::Decoded)).await;
    assert!(failed.error().unwrap().message.contains("permission denied"), "{failed:?}");
    assert_eq!((place.store.objects(PREFIX), place.store.uploads()), (vec![], 0));
    admin.batch_execute(&format!("DROP ROLE {role}")).await.unwrap();

    let blocker = source.client().await.unwrap();
    blocker.batch_execute("BEGIN; LOCK TABLE secret IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let cancelled = context(source.url(), StepKind::Backup);
    let (of_run, settings) = (cancelled.clone(), place.settings.clone());
    let running = tokio::spawn(async move { run(&of_run, &settings, &asked(BackupLevel::Recorded)).await });
    let claimed = async || (!place.store.objects(PREFIX).is_empty()).then_some(());
    stopover_tests::eventually("the name is claimed", claimed).await;
    cancelled.cancel.cancel();
    assert_eq!(running.await.unwrap().error().unwrap().class, ErrorClass::Cancelled);
    assert_eq!((place.store.objects(PREFIX), place.store.uploads()), (vec![], 0));
}

#[tokio::test]
async fn old_backups_go_and_needed_ones_stay() {
    let source = prepared("CREATE TABLE t (a int)").await;
    for in_bucket in [true, false] {
        let mut place = place(&[]).await;
        if !in_bucket {
            place.settings.vault = Vault::directory(place.settings.directory.clone());
        }
        let mut deployments = Vec::new();
        let mut step = context(source.url(), StepKind::Backup);
        for n in 0..4 {
            step.deployment = DeploymentId::from_random(n);
            step.attempt = Attempt(1);
            deployments.push(step.deployment.clone());
            report(run(&step, &place.settings, &asked(BackupLevel::Recorded)).await);
        }
        let there = async |place: &Place| {
            let shelf =
                shelf::Shelf::of(&place.settings.vault.destination, &step.environment, &step.step.database);
            let backups = shelf.await.unwrap().backups;
            backups.into_iter().map(|manifest| manifest.deployment).collect::<Vec<_>>()
        };
        assert_eq!(there(&place).await.len(), 4);
        place.settings.vault.retention = Retention { keep: Some(2), keep_for: None };
        // Nobody says what is needed: everything stays.
        step.deployment = DeploymentId::from_random(9);
        report(run(&step, &place.settings, &asked(BackupLevel::Recorded)).await);
        assert_eq!(there(&place).await.len(), 5);
        let needed =
            BackupRequest { needed: Some([deployments[1].clone()].into()), ..asked(BackupLevel::Recorded) };
        step.deployment = DeploymentId::from_random(10);
        report(run(&step, &place.settings, &needed).await);
        let expected = [10, 9].map(DeploymentId::from_random);
        assert_eq!(there(&place).await, [&expected[..], &deployments[1..2]].concat());
        let removed =
            messages(&step).into_iter().filter(|line| line.starts_with("removed the backup ")).count();
        assert_eq!(removed, 3, "{:?}", messages(&step));
        let lines = step.reporter.lines_after(0);
        assert!(lines.iter().all(|(_, line)| matches!(line, LogLine::Message { .. })));
    }
}

#[test]
fn a_backup_stays_while_either_rule_says_so() {
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let backup = |days: i64| {
        let at = now - SignedDuration::from_hours(24 * days);
        let text = format!(
            r#"{{"format":1,"file":"x.dump.zst","environment":"staging","agent":"a","deployment":"0123456789",
            "step":{{"stage":0,"database":"users","kind":"backup"}},"attempt":1,"database":"users","database_name":"users",
            "system_identifier":"","server_version":"15","pg_dump_version":"15","level":"recorded","bytes":1,
            "sha256":"{}","dump_bytes":1,"database_bytes":1,"started":"{at}","finished":"{at}","restore_command":""}}"#,
            "0".repeat(64)
        );
        serde_json::from_str::<Manifest>(&text).unwrap()
    };
    let backups: Vec<Manifest> = [1, 10, 20, 40].map(backup).into();
    let left = |keep, days: Option<u64>| {
        let keep_for = days.map(|days| std::time::Duration::from_hours(24 * days));
        let due = retention::due(&backups, Retention { keep, keep_for }, &BTreeSet::new(), now);
        4 - due.len()
    };
    assert_eq!(left(Some(2), None), 2);
    assert_eq!(left(None, Some(30)), 3);
    assert_eq!(left(Some(1), Some(15)), 2);
    assert_eq!(left(Some(9), Some(1)), 4);
    // The newest stays whatever its age.
    assert_eq!(left(None, Some(0)), 1);
}

#[tokio::test]
async fn a_backup_that_nobody_here_can_read_any_more_is_proven_by_restoring_it_on_the_way() {
    let source = prepared(TABLES).await;
    let identity = age::x25519::Identity::generate();
    let place = place(&[identity.to_public().to_string()]).await;
    let context = context(source.url(), StepKind::Backup);
    let report = report(run(&context, &place.settings, &asked(BackupLevel::Restored)).await);
    assert!(report.encrypted);
    let proof = report.proof.unwrap();
    assert_eq!((proof.tables, proof.rows), (1, 20_000));
    let left = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let client = source.client().await.unwrap();
    let left = client.query_one(left, &[&crate::scratch::name_of(&context)]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
}
