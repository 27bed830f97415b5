//! Backups by several jobs, which are a directory: what is proven of them, and that whatever is missing or changed is named.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use stopover_model::backup::RestoreTarget;
use stopover_model::id::DeploymentId;

use super::*;
use crate::backup::recovery::{self, Wanted};
use crate::scratch::Scratch;

const SEVERAL: &str = "CREATE TABLE users (id int PRIMARY KEY, email text);
    INSERT INTO users SELECT i, md5(i::text) FROM generate_series(1, 20000) i;
    CREATE TABLE orders (id int PRIMARY KEY, user_id int REFERENCES users);
    INSERT INTO orders SELECT i, i FROM generate_series(1, 5000) i;
    CREATE TABLE \"We\"\"ird; t\" (a int); INSERT INTO \"We\"\"ird; t\" VALUES (1);
    SELECT lo_from_bytea(4711, 'a large object'); ANALYZE";

fn several() -> Place {
    let mut place = place();
    place.settings.jobs = 3;
    place
}

/// An act of its own upon the same database.
fn act(source: &stopover_cluster::TestDatabase, n: u64) -> StepContext {
    let id = DeploymentId::from_random(n << 32 | u64::from(std::process::id()));
    StepContext { deployment: id, ..context(source.url(), StepKind::Backup) }
}

/// The files of a backup that hold rows.
fn rows_of(report: &BackupReport) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(&report.path).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".dat.gz"));
    paths.sort();
    paths
}

#[tokio::test]
async fn a_backup_by_several_jobs_is_proven_and_restores() {
    let source = prepared(SEVERAL).await;
    let place = several();
    for level in [BackupLevel::Recorded, BackupLevel::Decoded, BackupLevel::Restored] {
        let context = act(&source, level as u64);
        let report = report(run(&context, &place.settings, &BackupRequest::at(level)).await);
        assert_eq!((report.level, report.proof.is_some()), (level, level == BackupLevel::Restored));
        assert!(report.path.ends_with(&format!("-{}.dump.dir", context.deployment)), "{}", report.path);
        let mode = std::fs::metadata(&report.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
        assert!(rows_of(&report).len() >= 3);
        if let Some(proof) = report.proof {
            assert_eq!((proof.tables, proof.rows, proof.large_objects), (3, 25_001, 1));
        }
        let again = super::report(run(&context, &place.settings, &BackupRequest::at(level)).await);
        assert_eq!((again.path, again.sha256), (report.path, report.sha256));
    }
    assert_eq!(place.files().len(), 6);
    assert!(place.scratch_is_empty());
    let context = act(&source, 9);
    let report = report(run(&context, &place.settings, &decoded()).await);
    // The line that is shown to people.
    let target = prepared("").await;
    let cluster = Cluster::shared().await.unwrap();
    let command = report.restore_command.replacen(&format!("-d {}", source.name()), "-d \"$TARGET\"", 1);
    let into = format!("dbname='{}' host=127.0.0.1 user=postgres port={}", target.name(), cluster.port());
    let mut shell = Command::new("bash");
    shell.args(["-c", &command]).env("PGPASSWORD", cluster.password()).env("TARGET", into);
    assert!(shell.status().unwrap().success(), "{command}");
    let counted = target.client().await.unwrap().query_one("SELECT count(*) FROM orders", &[]).await;
    assert_eq!(counted.unwrap().get::<_, i64>(0), 5_000);
}

#[tokio::test]
async fn what_is_missing_or_changed_in_it_has_a_name() {
    let source = prepared(SEVERAL).await;
    let place = several();
    let made = act(&source, 1);
    let report = report(run(&made, &place.settings, &BackupRequest::at(BackupLevel::Restored)).await);
    let wanted = || Wanted { backup: report.id.clone().unwrap(), key: None };
    let verify =
        async |n, restore| recovery::verify(&act(&source, n), &place.settings, &wanted(), restore).await;
    let target = RestoreTarget::NewDatabase { name: format!("{}_copy", source.name()) };
    assert_eq!(verify(2, false).await.unwrap().level, BackupLevel::Decoded);
    assert_eq!(verify(3, true).await.unwrap().level, BackupLevel::Restored);

    let largest = rows_of(&report).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let name = largest.file_name().unwrap().to_str().unwrap().to_owned();
    let good = std::fs::read(&largest).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let cases = [
        (Some(flipped), format!("{name} has other content than it had")),
        (
            Some(good[..good.len() - 1].to_vec()),
            format!("{name} has {} bytes, and had {}", good.len() - 1, good.len()),
        ),
        (None, format!("{name} is missing")),
    ];
    for (n, (content, said)) in (10..).step_by(10).zip(cases) {
        match content {
            Some(content) => std::fs::write(&largest, content).unwrap(),
            None => std::fs::remove_file(&largest).unwrap(),
        }
        let restored = recovery::restore(&act(&source, n), &place.settings, &wanted(), &target).await;
        for error in [
            verify(n + 1, false).await.unwrap_err(),
            verify(n + 2, true).await.unwrap_err(),
            restored.unwrap_err(),
        ] {
            assert!(
                error.message.contains("is not what it was") && error.message.contains(&said),
                "{error:?}"
            );
        }
        // A rehearsal that needs its copy once more finds no backup either.
        let step = (&made.step, made.attempt);
        assert!(restore_again(&made, &place.settings, step, "").await.is_err());
    }
    let link = place.root.path().join("elsewhere");
    std::fs::write(&link, &good).unwrap();
    std::os::unix::fs::symlink(&link, &largest).unwrap();
    let error = verify(40, false).await.unwrap_err();
    assert!(error.message.contains("it is a link, which a backup never is"), "{}", error.message);
    std::fs::remove_file(&largest).unwrap();
    std::fs::write(&largest, &good).unwrap();

    let restored = recovery::restore(&act(&source, 41), &place.settings, &wanted(), &target).await.unwrap();
    let client = source.client().await.unwrap();
    client.batch_execute(&format!("DROP DATABASE {}", restored.database_name)).await.unwrap();
    let copy = restore_again(&made, &place.settings, (&made.step, made.attempt), "").await.unwrap();
    copy.remove().await;
    assert!(place.scratch_is_empty());
}

#[tokio::test]
async fn a_file_that_changes_under_the_proof_makes_it_none() {
    let source = prepared(SEVERAL).await;
    let place = several();
    let made = act(&source, 1);
    let report = report(run(&made, &place.settings, &decoded()).await);
    let programs = programs::find(&ProgramPaths::default(), 150_000).await.unwrap();
    let directory = Path::new(&report.path);
    let mut members = crate::backup::parallel::hashed(directory, 2).await.unwrap();
    let restore = |members| crate::backup::parallel::Restore {
        programs: &programs,
        settings: &place.settings,
        directory,
        members,
        partial: false,
    };
    members[0].bytes += 1;
    for (members, hurt) in [(Some(members.as_slice()), false), (None, true)] {
        if hurt {
            std::fs::write(&rows_of(&report)[0], "no archive").unwrap();
        }
        let scratch = Scratch::create(&made).await.unwrap();
        let error = restore(members).run(&made, &scratch).await.unwrap_err();
        scratch.remove().await;
        assert!(error.message.contains("so it is none"), "{}", error.message);
    }
    // An archive that was cut before anybody hashed it.
    let members = crate::backup::parallel::hashed(directory, 2).await.unwrap();
    let error = crate::backup::parallel::decode(&programs, directory, &members, 2).await.unwrap_err();
    assert!(error.message.contains(&members[0].name), "{}", error.message);
}

#[tokio::test]
async fn a_dump_that_is_killed_or_cancelled_leaves_nothing() {
    let source = prepared(SEVERAL).await;
    let mut place = several();
    let real = programs::find(&ProgramPaths::default(), 150_000).await.unwrap();
    let wrapper = place.root.path().join("pg_dump");
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) exec {0} \"$@\";; esac\n{0} \"$@\"\nkill -9 $$\n",
        real.pg_dump.display()
    );
    std::fs::write(&wrapper, text).unwrap();
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755)).unwrap();
    place.settings.programs =
        ProgramPaths { pg_dump: Some(wrapper), pg_restore: Some(real.pg_restore.clone()) };
    let killed = run(&act(&source, 1), &place.settings, &decoded()).await;
    assert!(error(&killed).message.contains("signal: 9"), "{killed:?}");
    assert_eq!(place.files(), Vec::<String>::new());

    place.settings.programs = ProgramPaths::default();
    let blocker = source.client().await.unwrap();
    blocker.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let context = act(&source, 2);
    let (of_run, settings) = (context.clone(), place.settings.clone());
    let running = tokio::spawn(async move { run(&of_run, &settings, &decoded()).await });
    let mut progress = context.reporter.watch_progress();
    let waits = progress.wait_for(|now| now.as_ref().is_some_and(|now| now.doing == "waiting for a lock"));
    tokio::time::timeout(Duration::from_secs(20), waits).await.expect("it waits").unwrap();
    context.cancel.cancel();
    let outcome = tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap();
    assert_eq!(error(&outcome).class, ErrorClass::Cancelled);
    assert_eq!(place.files(), Vec::<String>::new());
}

/// A killed agent's `pg_dump` goes on into its directory: the next run ends its sessions first.
#[tokio::test]
async fn what_a_killed_run_left_goes_with_those_who_write_there() {
    let source = prepared(SEVERAL).await;
    let place = several();
    let context = act(&source, 1);
    let orphan = source.client().await.unwrap();
    let name = crate::postgres::SessionName::of(&context);
    let name = crate::postgres::SessionName { run: "00000000".to_owned(), ..name };
    orphan.batch_execute(&format!("SET application_name = '{name}'")).await.unwrap();
    let left = format!("staging-users-20200101T000000Z-{}.dump.dir.partial", context.deployment);
    std::fs::create_dir_all(place.settings.directory.join(&left)).unwrap();
    std::fs::write(place.settings.directory.join(&left).join("1.dat.gz"), "x").unwrap();
    report(run(&context, &place.settings, &decoded()).await);
    assert_eq!(place.files().len(), 2);
    orphan.batch_execute("SELECT 1").await.unwrap_err();
}
