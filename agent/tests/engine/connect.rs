//! Getting to the database, and being told plainly why not.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use stopover_agent::postgres::{ConnectError, Database, Purpose, SessionName};
use stopover_cluster::Cluster;
use stopover_model::event::StepKind;
use stopover_model::report::{ErrorClass, StepError};

use crate::support::*;

fn purpose(bench: &Bench) -> Purpose {
    Purpose::writing(&SessionName::of(&bench.context(StepKind::Migrate)))
}

async fn error(database: &Database, purpose: &Purpose) -> StepError {
    match database.connect(purpose).await {
        Ok(_) => panic!("it connected"),
        Err(error) => StepError::from(error),
    }
}

/// The url without its password.
fn without_password(url: &str) -> String {
    let (_, behind) = url.split_once('@').unwrap();
    format!("postgresql://postgres@{behind}")
}

#[tokio::test]
async fn a_password_may_come_from_a_command_or_a_file() {
    let bench = Bench::new().await;
    let url = without_password(bench.test.url());
    let password = bench.test.url().split(['/', ':', '@']).nth(4).unwrap().to_owned();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    for way in [format!("password_file = {file:?}"), format!("password_command = [\"/bin/cat\", {file:?}]")] {
        let database = configured(&format!("url = {url:?}\n{way}"));
        database.connect(&purpose(&bench)).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_without_showing_it() {
    let bench = Bench::new().await;
    let behind = bench.test.url().split_once('@').unwrap().1;
    let database = configured(&format!("url = \"postgresql://postgres:wrong-secret@{behind}\""));
    let error = error(&database, &purpose(&bench)).await;
    assert_eq!((error.class, error.sqlstate.as_deref()), (ErrorClass::Setup, Some("28P01")));
    assert!(error.hint.as_ref().unwrap().contains("password_command"));
    assert!(!format!("{error:?}").contains("wrong-secret"));

    let database = configured(&format!("url = {:?}", without_password(bench.test.url())));
    let error = self::error(&database, &purpose(&bench)).await;
    assert!(error.message.contains("none is configured"), "{error:?}");
    assert_eq!(error.class, ErrorClass::Setup);
}

#[tokio::test]
async fn a_database_that_is_down_or_missing_is_told_apart() {
    let bench = Bench::new().await;
    let down = configured("url = \"postgresql://u@127.0.0.1:1/d\"");
    assert_eq!(error(&down, &purpose(&bench)).await.class, ErrorClass::Transient);
    let url = bench.test.url().replace(bench.test.name(), "nowhere");
    let error = error(&configured(&format!("url = {url:?}")), &purpose(&bench)).await;
    assert_eq!((error.class, error.sqlstate.as_deref()), (ErrorClass::Setup, Some("3D000")));
}

#[tokio::test]
async fn another_cluster_than_the_expected_one_is_refused() {
    let bench = Bench::new().await;
    let session = bench.database.connect(&purpose(&bench)).await.unwrap();
    let identity = session.identity().clone();
    session.close().await;
    let ours = identity.system_identifier.unwrap();
    assert!(identity.pid > 0 && identity.version_num >= 120_000);
    bench.database.connect(&purpose(&bench).expecting_system(Some(&ours))).await.unwrap().close().await;
    let error = error(&bench.database, &purpose(&bench).expecting_system(Some("7"))).await;
    assert_eq!(error.class, ErrorClass::Drift);
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_given_up_by_the_server_too() {
    let bench = Bench::new().await;
    let session = bench.database.connect(&purpose(&bench)).await.unwrap();
    for (setting, expected) in [
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "4"),
        ("tcp_user_timeout", "30000"),
        ("client_connection_check_interval", "1s"),
    ] {
        assert_eq!(value(session.client(), &format!("SHOW {setting}")).await, expected, "{setting}");
    }
    session.close().await;
}

#[tokio::test]
async fn a_pooler_is_seen_by_its_process_id() {
    let mut bench = Bench::new().await;
    let wire = bench.wire().await;
    bench.database.connect(&purpose(&bench)).await.unwrap().close().await;
    wire.pretend_pooler();
    let error = bench.database.connect(&purpose(&bench)).await.err().unwrap();
    assert!(matches!(error, ConnectError::Pooler), "{error}");
}

/// A real pooler that hands each transaction to whichever server session is free; None where the machine has none.
fn pgbouncer(bench: &Bench, directory: &Path) -> Option<(Pooler, u16)> {
    let program =
        ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).is_file())?;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = bench.test.config();
    let password = String::from_utf8_lossy(settings.get_password().unwrap());
    let users = directory.join("users.txt");
    std::fs::write(&users, format!("\"postgres\" \"{password}\"\n")).unwrap();
    let configuration = directory.join("pgbouncer.ini");
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\npool_mode = transaction\n",
        settings.get_ports()[0],
        users.display()
    );
    std::fs::write(&configuration, text).unwrap();
    let mut command = std::process::Command::new(program);
    // It refuses to run as root; whom it runs as then may enter.
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        for path in [directory, &users, &configuration] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        command.args(["-u", "postgres"]);
    }
    let child = command.arg("-q").arg(&configuration).spawn().unwrap();
    Some((Pooler(child), port))
}

struct Pooler(std::process::Child);

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn pgbouncer_in_transaction_mode_is_refused() {
    let bench = Bench::new().await;
    let directory = tempfile::Builder::new().prefix("stopover-pgbouncer-").tempdir_in("/tmp").unwrap();
    let Some((_pooler, port)) = pgbouncer(&bench, directory.path()) else {
        eprintln!("skipped: pgbouncer is not on this machine (Debian, Ubuntu: apt-get install pgbouncer)");
        return;
    };
    let direct = bench.test.config().get_ports()[0];
    let url = bench.test.url().replace(&format!(":{direct}/"), &format!(":{port}/"));
    let database = database(&url);
    let listens = || async { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
    until("pgbouncer listens", listens).await;
    let refused = error(&database, &purpose(&bench)).await;
    assert_eq!(refused.class, ErrorClass::Setup);
    assert!(refused.message.contains("pooler"), "{refused:?}");
    // A step is refused by it as well, and nothing has been written.
    let mut context = bench.context(StepKind::Migrate);
    context.database = std::sync::Arc::new(configured(&format!("url = {url:?}")));
    let one = migration("001_a", &[("up.sql", "CREATE TABLE a (id int)")]);
    assert_eq!(failure(stopover_agent::migrate::run(context, work(&one)).await).class, ErrorClass::Setup);
    assert_eq!(
        bench.value("SELECT to_regclass('a') IS NULL AND to_regnamespace('stopover') IS NULL").await,
        "t"
    );
}

#[tokio::test]
async fn a_standby_is_refused_and_once_promoted_goes_on_from_the_ledger_that_it_has() {
    let primary = Cluster::builder().name("primary").start().await.unwrap();
    let mut bench = Bench::on(&primary).await;
    let standby = Cluster::builder().name("standby").start_standby_of(&primary).await.unwrap();
    let there = database(&standby.url(bench.test.name()));
    let refused = error(&there, &purpose(&bench)).await;
    assert_eq!(refused.class, ErrorClass::Setup);
    assert!(refused.message.contains("standby"), "{refused:?}");
    let name = SessionName::of(&bench.context(StepKind::Inspect));
    let session = there.connect(&Purpose::reading(&name)).await.unwrap();
    let identity = session.identity().clone();
    assert!(identity.in_recovery);

    let one = migration("001_a", &[("up.sql", "CREATE TABLE a (id int)")]);
    applied(bench.migrate(&one).await);
    until("the standby has it", || async { value(session.client(), "SELECT to_regclass('a')").await == "a" })
        .await;
    session.close().await;
    primary.kill9().await.unwrap();
    let promoted = standby.client(bench.test.name()).await.unwrap();
    assert_eq!(value(&promoted, "SELECT pg_promote()").await, "t");

    bench.database = there;
    let mut again = work(&one);
    again.system_identifier.clone_from(&identity.system_identifier);
    let report = applied(bench.spawn_work(again).end().await);
    assert!(report.already_applied, "the system is the same, and so is its ledger");
    applied(bench.migrate(&migration("002_b", &[("up.sql", "CREATE TABLE b (id int)")])).await);
    assert_eq!(value(&promoted, "SELECT to_regclass('b')").await, "b");
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { issuer: Issuer::new(params, key), pem }
}

#[tokio::test]
async fn tls_means_what_libpq_means_by_it() {
    let (ours, others) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let server =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ours.issuer).unwrap();
    let cluster =
        Cluster::builder().name("tls").tls(&server.pem(), &key.serialize_pem()).start().await.unwrap();
    let bench = Bench::on(&cluster).await;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path
    };
    let (ca, other_ca) = (file("ca.pem", &ours.pem), file("other.pem", &others.pem));
    let pinned = file("server.pem", &server.pem());
    let by = |host: &str, mode: &str, root: Option<&Path>| {
        let url = bench.test.url().replace("127.0.0.1", host);
        let root = root.map(|path| format!("sslrootcert = {path:?}")).unwrap_or_default();
        configured(&format!("url = {url:?}\nsslmode = {mode:?}\n{root}"))
    };
    let encrypted = async |database: Database| {
        let session = database.connect(&purpose(&bench)).await.unwrap();
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let ssl = value(session.client(), sql).await;
        session.close().await;
        ssl == "t"
    };
    assert!(!encrypted(by("127.0.0.1", "disable", None)).await);
    assert!(!encrypted(by("127.0.0.1", "allow", None)).await);
    assert!(encrypted(by("127.0.0.1", "prefer", None)).await);
    assert!(encrypted(by("127.0.0.1", "require", None)).await);
    assert!(encrypted(by("127.0.0.1", "verify-ca", Some(&ca))).await);
    assert!(encrypted(by("localhost", "verify-full", Some(&ca))).await);
    assert!(encrypted(by("localhost", "verify-full", Some(&pinned))).await);

    let refused = [
        (by("127.0.0.1", "verify-full", Some(&ca)), "another host's"),
        (by("127.0.0.1", "verify-ca", Some(&other_ca)), "not the authority"),
        (by("127.0.0.1", "require", Some(&other_ca)), "not the authority"),
        (by("localhost", "verify-full", Some(&other_ca)), "not the authority"),
        (by("localhost", "verify-full", None), "sslrootcert"),
    ];
    for (database, hint) in refused {
        let error = error(&database, &purpose(&bench)).await;
        assert_eq!(error.class, ErrorClass::Setup, "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains(hint), "{error:?}");
    }

    // A statement is cancelled over TLS as well.
    let mut context = bench.context(StepKind::Migrate);
    context.database = std::sync::Arc::new(by("localhost", "verify-full", Some(&ca)));
    let cancel = context.cancel.clone();
    let reporter = context.reporter.clone();
    let one = migration("001_a", &[("up.sql", "SELECT pg_sleep(60)")]);
    let running = tokio::spawn(stopover_agent::migrate::run(context, work(&one)));
    until("the statement runs", || async { shown(&reporter).iter().any(|l| l.contains("StatementStarted")) })
        .await;
    cancel.cancel();
    assert_eq!(failure(running.await.unwrap()).class, ErrorClass::Cancelled);
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let bench = Bench::new().await;
    let database = configured(&format!("url = {:?}\nsslmode = \"require\"", bench.test.url()));
    let error = error(&database, &purpose(&bench)).await;
    assert!(error.hint.as_ref().unwrap().contains("turn on `ssl`"), "{error:?}");
    let database = configured(&format!("url = {:?}\nsslmode = \"prefer\"", bench.test.url()));
    database.connect(&purpose(&bench)).await.unwrap().close().await;
}
