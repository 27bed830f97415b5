use stopover_cluster::TestDatabase;
use stopover_model::backup::RestoreTarget;
use stopover_model::event::StepKind;
use stopover_model::id::DeploymentId;
use stopover_model::report::ErrorClass;
use tempfile::TempDir;

use super::super::{BackupRequest, ProgramPaths, run};
use super::*;
use crate::step::StepContext;
use crate::testing::{context, messages, prepared};
use crate::vault::{Recipients, Vault};

const USERS: &str = "CREATE TABLE users (id int PRIMARY KEY, email text);
    INSERT INTO users SELECT i, md5(i::text) FROM generate_series(1, 5000) i;
    CREATE INDEX users_email ON users (email)";
const SUM: &str = "SELECT count(*), sum(hashtext(email)) FROM users";

struct Place {
    _root: TempDir,
    settings: BackupSettings,
    source: TestDatabase,
    backup: BackupId,
}

/// A database, and a backup of it in a directory.
async fn place(recipients: &[String]) -> Place {
    let root = tempfile::tempdir().unwrap();
    let (scratch, directory) = (root.path().join("tmp"), root.path().join("backups"));
    for directory in [&scratch, &directory] {
        std::fs::create_dir(directory).unwrap();
    }
    let vault =
        Vault { recipients: Recipients::parse(recipients).unwrap(), ..Vault::directory(directory.clone()) };
    let settings = BackupSettings {
        directory,
        vault,
        jobs: 1,
        command: None,
        scratch,
        programs: ProgramPaths::default(),
    };
    let source = prepared(USERS).await;
    let step = context(source.url(), StepKind::Backup);
    let request = BackupRequest::at(stopover_model::pipeline::BackupLevel::Recorded);
    assert!(run(&step, &settings, &request).await.error().is_none());
    let shelf = list(&settings, &step.environment, &step.step.database).await.unwrap();
    let backup = shelf.backups[0].id.clone();
    Place { _root: root, settings, source, backup }
}

impl Place {
    /// An act of its own.
    fn act(&self, n: u64) -> StepContext {
        let id = DeploymentId::from_random(n << 32 | u64::from(std::process::id()));
        StepContext { deployment: id, ..context(self.source.url(), StepKind::Backup) }
    }

    fn wanted(&self) -> Wanted {
        Wanted { backup: self.backup.clone(), key: None }
    }

    fn file(&self) -> std::path::PathBuf {
        let entries = std::fs::read_dir(&self.settings.directory).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths.find(|path| path.to_string_lossy().contains(".dump")).unwrap()
    }

    async fn sum(&self, database: &str) -> (i64, i64) {
        let mut config = self.source.config().clone();
        let (client, connection) = config.dbname(database).connect(tokio_postgres::NoTls).await.unwrap();
        let driver = tokio::spawn(connection);
        let row = client.query_one(SUM, &[]).await.unwrap();
        drop(client);
        driver.await.unwrap().unwrap();
        (row.get(0), row.get(1))
    }

    async fn run(&self, sql: &str) {
        self.source.client().await.unwrap().batch_execute(sql).await.unwrap();
    }

    /// Databases of which this act is the reason.
    async fn left_by(&self, act: &StepContext) -> i64 {
        let sql = "SELECT count(*) FROM pg_database WHERE datname = ANY ($1)";
        let names = [format!("{}{}", place::PREFIX, act.deployment), crate::scratch::name_of(act)];
        self.source.client().await.unwrap().query_one(sql, &[&names.as_slice()]).await.unwrap().get(0)
    }
}

#[tokio::test]
async fn a_new_database_has_the_data_the_privileges_and_the_settings() {
    let place = place(&[]).await;
    let name = place.source.name();
    place.run(&format!("ALTER DATABASE {name} SET search_path TO \"$user\", public, audit")).await;
    place
        .run(&format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC; COMMENT ON DATABASE {name} IS 'ours'"))
        .await;
    let copy = format!("{name}_copy");
    let target = RestoreTarget::NewDatabase { name: copy.clone() };
    let act = place.act(1);
    let restored = restore(&act, &place.settings, &place.wanted(), &target).await.unwrap();
    assert_eq!((restored.database_name.as_str(), &restored.kept_as), (copy.as_str(), &None));
    assert_eq!(place.sum(&copy).await, place.sum(name).await);
    let same = "SELECT a.datacl @> b.datacl AND b.datacl @> a.datacl AND a.datconnlimit = b.datconnlimit
            AND shobj_description(a.oid, 'pg_database') = shobj_description(b.oid, 'pg_database')
            AND (SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = a.oid)
              = (SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = b.oid)
        FROM pg_database a, pg_database b WHERE a.datname = $1 AND b.datname = $2";
    let client = place.source.client().await.unwrap();
    assert!(client.query_one(same, &[&name, &copy]).await.unwrap().get::<_, bool>(0), "{:?}", messages(&act));

    let again = restore(&place.act(2), &place.settings, &place.wanted(), &target).await.unwrap_err();
    assert!(again.message.contains("already, and none is overwritten"), "{}", again.message);
    client.batch_execute(&format!("DROP DATABASE {copy}")).await.unwrap();
    let proof = verify(&place.act(3), &place.settings, &place.wanted(), true).await.unwrap();
    assert_eq!(place.left_by(&place.act(3)).await, 0);
    assert!(proof.bytes > 0);
}

#[tokio::test]
async fn a_restore_later_is_compared_with_what_the_tables_held_when_the_backup_was_made() {
    let place = place(&[]).await;
    let uncounted = place.act(20);
    verify(&uncounted, &place.settings, &place.wanted(), true).await.unwrap();
    assert!(
        messages(&uncounted).iter().any(|said| said.contains("5000 rows of 1 tables; nobody has counted"))
    );

    let step = place.act(21);
    let request = BackupRequest::at(stopover_model::pipeline::BackupLevel::Restored);
    assert!(run(&step, &place.settings, &request).await.error().is_none());
    let shelf = list(&place.settings, &step.environment, &step.step.database).await.unwrap();
    let backup = shelf.backups.iter().find(|backup| backup.deployment == step.deployment).unwrap();
    let wanted = || Wanted { backup: backup.id.clone(), key: None };
    // What the live database has become since is of no interest.
    place.run("DELETE FROM users WHERE id > 10").await;
    let act = place.act(22);
    verify(&act, &place.settings, &wanted(), true).await.unwrap();
    let equal = "restored, and equal to what was backed up: 5000 rows of 1 tables";
    assert!(messages(&act).iter().any(|said| said == equal), "{:?}", messages(&act));
    assert_eq!(place.left_by(&act).await, 0);

    let manifest = std::path::Path::new(&backup.location).with_extension("").with_extension("json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let mut known: serde_json::Value = serde_json::from_str(&text).unwrap();
    known["contents"]["tables"]["\"public\".\"users\""]["count"] = 5_001.into();
    std::fs::write(&manifest, known.to_string()).unwrap();
    let error = verify(&place.act(23), &place.settings, &wanted(), true).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Check);
    assert!(
        error.message.ends_with("\"public\".\"users\": 5001 rows, and 5000 are restored"),
        "{}",
        error.message
    );
    assert_eq!(place.left_by(&place.act(23)).await, 0);
}

#[tokio::test]
async fn the_live_database_is_replaced_only_alone_and_kept() {
    let place = place(&[]).await;
    let name = place.source.name();
    let before = place.sum(name).await;
    let client = place.source.client().await.unwrap();
    client.batch_execute("DELETE FROM users WHERE id > 7").await.unwrap();
    let alone = RestoreTarget::Live { disconnect_others: false };
    let refused = restore(&place.act(4), &place.settings, &place.wanted(), &alone).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Lock);
    assert!(refused.message.contains("others are in the database"), "{}", refused.message);
    let over = RestoreTarget::Live { disconnect_others: true };
    let act = place.act(5);
    let restored = restore(&act, &place.settings, &place.wanted(), &over).await.unwrap();
    assert_eq!(place.sum(name).await, before);
    let kept = restored.kept_as.unwrap();
    assert_eq!(place.sum(&kept).await.0, 7);
    assert!(std::path::Path::new(&restored.fresh_backup.unwrap()).is_file());
    assert_eq!(place.left_by(&act).await, 0);
    assert!(client.simple_query("SELECT 1").await.is_err(), "others' sessions have ended");
    place.run(&format!("DROP DATABASE {kept}")).await;
}

#[tokio::test]
async fn what_fails_or_is_stopped_leaves_no_database() {
    let place = place(&[]).await;
    let file = place.file();
    let good = std::fs::read(&file).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let target = RestoreTarget::NewDatabase { name: format!("{}_copy", place.source.name()) };
    for (n, bad) in (6..).zip([&flipped[..], &good[..good.len() - 1], &[]]) {
        std::fs::write(&file, bad).unwrap();
        let act = place.act(n);
        let found = verify(&act, &place.settings, &place.wanted(), false).await.unwrap_err();
        assert!(found.message.contains("is not what it was"), "{}", found.message);
        let found = restore(&act, &place.settings, &place.wanted(), &target).await.unwrap_err();
        assert!(found.message.contains("is not what it was"), "{}", found.message);
        assert_eq!(place.left_by(&act).await, 0);
    }
    std::fs::write(&file, &good).unwrap();
    let act = place.act(9);
    act.cancel.cancel();
    let stopped = restore(&act, &place.settings, &place.wanted(), &target).await.unwrap_err();
    assert_eq!(stopped.class, ErrorClass::Cancelled);
    assert_eq!(place.left_by(&act).await, 0);

    // What a killed agent left goes when it starts again, and only its own.
    for (name, agent) in [("a", "agent-1"), ("b", "agent-2"), ("c", "agent-1")] {
        let name = format!("{}{}_{name}", place::PREFIX, place.source.name());
        place.run(&format!("CREATE DATABASE {name}")).await;
        place
            .run(&format!(
                "COMMENT ON DATABASE {name} IS 'Stopover''s agent {agent} restores the backup x here'"
            ))
            .await;
    }
    // One is being filled while the agent starts.
    let filled = format!("{}{}_c", place::PREFIX, place.source.name());
    let filling = place.source.client().await.unwrap();
    let lock = format!("SELECT pg_advisory_lock(1380275028, hashtext('{filled}'))");
    filling.batch_execute(&lock).await.unwrap();
    let agent = "agent-1".parse().unwrap();
    let finding = drop_leftovers(&act.database, &agent);
    let ending = async {
        let left =
            format!("SELECT FROM pg_database WHERE datname = '{}{}_a'", place::PREFIX, place.source.name());
        while filling.query_opt(&left, &[]).await.unwrap().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let there = format!("SELECT FROM pg_database WHERE datname = '{filled}'");
        assert!(filling.query_opt(&there, &[]).await.unwrap().is_some());
        drop(filling);
    };
    let (gone, ()) = tokio::join!(finding, ending);
    let gone = gone.unwrap();
    assert!(gone.contains(&filled), "{gone:?}");
    assert!(gone.contains(&format!("{}{}_a", place::PREFIX, place.source.name())), "{gone:?}");
    let other = format!("{}{}_b", place::PREFIX, place.source.name());
    place.run(&format!("DROP DATABASE {other}")).await;
}

#[tokio::test]
async fn a_manifest_that_names_something_else_and_a_link_are_told() {
    let place = place(&[]).await;
    let file = place.file();
    let own = file.file_name().unwrap().to_str().unwrap();
    let manifest = file.with_file_name(own.replace(".dump.zst", ".json"));
    let text = std::fs::read_to_string(&manifest).unwrap();
    let act = place.act(10);
    let look = async || list(&place.settings, &act.environment, &act.step.database).await.unwrap();
    for (forged, why) in [
        (text.replace(own, "../../etc/passwd"), "not the file that belongs to it"),
        (text.replace("\"format\": 1", "\"format\": 9"), "of format 9"),
        ("{".to_owned(), "it is no manifest"),
    ] {
        std::fs::write(&manifest, forged).unwrap();
        let shelf = look().await;
        assert!(shelf.backups.is_empty() && shelf.unreadable[0].why.contains(why), "{shelf:?}");
    }
    let elsewhere = place.settings.scratch.join("elsewhere");
    std::fs::write(&elsewhere, &text).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &manifest).unwrap();
    assert!(look().await.unreadable[0].why.contains("it is a link"));
    std::fs::remove_file(&manifest).unwrap();
    std::fs::write(&manifest, &text).unwrap();
    std::fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    let linked = verify(&act, &place.settings, &place.wanted(), false).await.unwrap_err();
    assert!(linked.message.contains("it is a link"), "{}", linked.message);
}

#[cfg(feature = "encryption")]
#[tokio::test]
async fn an_encrypted_backup_needs_the_key_of_its_file() {
    use age::secrecy::ExposeSecret as _;
    use std::sync::Mutex;

    /// As the command line does it.
    struct Keeping<'a>(&'a age::x25519::Identity, Mutex<Vec<u8>>);
    impl age::Identity for Keeping<'_> {
        fn unwrap_stanza(
            &self,
            stanza: &age_core::format::Stanza,
        ) -> Option<Result<age_core::format::FileKey, age::DecryptError>> {
            let key = self.0.unwrap_stanza(stanza)?.ok()?;
            *self.1.lock().unwrap() = key.expose_secret().to_vec();
            Some(Ok(key))
        }
    }
    let identity = age::x25519::Identity::generate();
    let place = place(&[identity.to_public().to_string()]).await;
    let act = place.act(11);
    let shelf = list(&place.settings, &act.environment, &act.step.database).await.unwrap();
    let keeping = Keeping(&identity, Mutex::default());
    let opened = age::Decryptor::new(&shelf.backups[0].header[..]).unwrap();
    opened.decrypt(std::iter::once(&keeping as &dyn age::Identity)).map(drop).unwrap();
    let key = keeping.1.into_inner().unwrap();

    let target = RestoreTarget::NewDatabase { name: format!("{}_copy", place.source.name()) };
    let locked = restore(&act, &place.settings, &place.wanted(), &target).await.unwrap_err();
    assert!(locked.hint.unwrap().contains("--identity FILE"));
    let hashed = verify(&act, &place.settings, &place.wanted(), false).await.unwrap();
    assert_eq!(hashed.level, stopover_model::pipeline::BackupLevel::Recorded);
    let wrong = Wanted::new(place.backup.clone(), &[7; 16]).unwrap();
    let wrong = verify(&act, &place.settings, &wrong, false).await.unwrap_err();
    assert!(wrong.message.contains("the key does not open it"), "{}", wrong.message);
    let right = Wanted::new(place.backup.clone(), &key).unwrap();
    assert!(!format!("{right:?}").contains(&format!("{key:?}")));
    let proof = verify(&act, &place.settings, &right, false).await.unwrap();
    assert_eq!(proof.level, stopover_model::pipeline::BackupLevel::Decoded);
    restore(&act, &place.settings, &right, &target).await.unwrap();
    let copy = format!("{}_copy", place.source.name());
    assert_eq!(place.sum(&copy).await, place.sum(place.source.name()).await);
    place.run(&format!("DROP DATABASE {copy}")).await;
}
