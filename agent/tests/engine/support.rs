//! A database of the test's own, and steps to run on it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stopover_agent::migrate::{self, Limits, MigrateWork, Parking};
use stopover_agent::postgres::{Database, DatabaseConfig};
use stopover_agent::rollback::{self, RollbackWork};
use stopover_agent::step::{Reporter, StepContext};
use stopover_cluster::{Cluster, TestDatabase};
use stopover_model::backfill::Throttle;
use stopover_model::event::{Resolution, StageIndex, StepKey, StepKind};
use stopover_model::id::{Attempt, Epoch};
use stopover_model::migration::Migration;
use stopover_model::pipeline::BackfillSettings;
use stopover_model::pipeline::{LockSettings, SaveSettings};
use stopover_model::plan::Variant;
use stopover_model::report::{LogLine, MigrateReport, Outcome, RollbackReport, StepError, StepReport};
use stopover_tests::Wire;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

pub(crate) const DEPLOYMENT: &str = "0123456789";
const DEADLINE: Duration = Duration::from_secs(30);
/// What a whole step may take on a machine that has other things to do.
pub(crate) const LONG: Duration = Duration::from_mins(3);

/// A database, and the agent's way to it.
pub(crate) struct Bench {
    pub(crate) test: TestDatabase,
    pub(crate) database: Arc<Database>,
    pub(crate) client: Client,
    epoch: AtomicU64,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::of(TestDatabase::shared().await.unwrap()).await
    }

    /// In a cluster of the test's own.
    pub(crate) async fn on(cluster: &Cluster) -> Self {
        Self::of(TestDatabase::create(cluster).await.unwrap()).await
    }

    async fn of(test: TestDatabase) -> Self {
        let client = test.client().await.unwrap();
        let database = database(test.url());
        Self { test, database, client, epoch: AtomicU64::new(1) }
    }

    /// The same database through a wire of the test's own.
    pub(crate) fn through(&mut self, wire: &Wire) {
        let (before, after) = self.test.url().rsplit_once("127.0.0.1:").unwrap();
        let (_, path) = after.split_once('/').unwrap();
        self.database = database(&format!("{before}127.0.0.1:{}/{path}", wire.port()));
    }

    /// A wire to the server, which from now on is the agent's way.
    pub(crate) async fn wire(&mut self) -> Wire {
        let wire = Wire::start(self.value("SHOW port").await.parse().unwrap()).await;
        self.through(&wire);
        wire
    }

    /// As this user from now on, whose password is its name.
    pub(crate) fn login_as(&mut self, user: &str) {
        let (_, server) = self.test.url().split_once('@').unwrap();
        self.database = database(&format!("postgresql://{user}:{user}@{server}"));
    }

    /// A step of the next epoch.
    pub(crate) fn context(&self, kind: StepKind) -> StepContext {
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed);
        let name = self.database.name();
        StepContext {
            agent: "agent-1".parse().unwrap(),
            environment: "staging".parse().unwrap(),
            deployment: DEPLOYMENT.parse().unwrap(),
            step: StepKey::target(StageIndex(0), name, kind),
            attempt: Attempt(1),
            epoch: Epoch(epoch),
            run: uuid::Uuid::new_v4().to_string().parse().unwrap(),
            database: self.database.clone(),
            reporter: Reporter::new(),
            cancel: CancellationToken::new(),
            throttle: tokio::sync::watch::channel(Throttle::default()).1,
            pass: stopover_agent::step::Pass::default(),
            batches_until: tokio::sync::watch::channel(None).1,
        }
    }

    pub(crate) async fn migrate(&self, migration: &Migration) -> Outcome {
        migrate::run(self.context(StepKind::Migrate), work(migration)).await
    }

    pub(crate) async fn resolve(&self, migration: &Migration, resolution: Resolution) -> Outcome {
        let mut work = work(migration);
        work.resolution = Some(resolution);
        migrate::run(self.context(StepKind::Migrate), work).await
    }

    pub(crate) async fn roll_back(&self, migration: &Migration) -> Outcome {
        rollback::run(self.context(StepKind::Rollback), rollback_work(migration)).await
    }

    /// The same with a person's word on what an earlier attempt left UNKNOWN.
    pub(crate) async fn roll_back_resolved(&self, migration: &Migration, resolution: Resolution) -> Outcome {
        let work = RollbackWork { resolution: Some(resolution), ..rollback_work(migration) };
        rollback::run(self.context(StepKind::Rollback), work).await
    }

    /// Somebody says that it was taken back by other means.
    pub(crate) async fn roll_back_by_hand(&self, migration: &Migration, who: &str) -> Outcome {
        let work = RollbackWork { by_hand: Some(who.to_owned()), ..rollback_work(migration) };
        rollback::run(self.context(StepKind::Rollback), work).await
    }

    /// Lets the migration run beside the test.
    pub(crate) fn spawn(&self, migration: &Migration) -> Running {
        self.spawn_work(work(migration))
    }

    pub(crate) fn spawn_work(&self, work: MigrateWork) -> Running {
        let context = self.context(StepKind::Migrate);
        let (reporter, cancel) = (context.reporter.clone(), context.cancel.clone());
        Running { outcome: tokio::spawn(migrate::run(context, work)), reporter, cancel }
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    /// The first column of the first row, as text.
    pub(crate) async fn value(&self, sql: &str) -> String {
        value(&self.client, sql).await
    }

    /// Ends the working session when it is at this point; the query is over `pg_stat_activity`.
    pub(crate) async fn kill_when(&self, condition: &str) {
        let sql = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name LIKE 'stopover/%' AND {condition}"
        );
        until("the session to be killed is there", || async { self.value(&sql).await != "0" }).await;
    }

    /// P8: nothing of ours is left behind.
    pub(crate) async fn assert_clean(&self) {
        until("no session of ours is left", || async {
            let sql = "SELECT count(*) FROM pg_stat_activity \
                       WHERE datname = current_database() AND application_name LIKE 'stopover/%'";
            self.value(sql).await == "0"
        })
        .await;
        let sql = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eq!(self.value(sql).await, "0", "an advisory lock is left");
        for (left, sql) in [
            ("an invalid index", "pg_index WHERE NOT indisvalid"),
            ("a prepared transaction", "pg_prepared_xacts WHERE database = current_database()"),
        ] {
            assert_eq!(self.value(&format!("SELECT count(*) FROM {sql}")).await, "0", "{left} is left");
        }
    }
}

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) outcome: JoinHandle<Outcome>,
    pub(crate) reporter: Reporter,
    pub(crate) cancel: CancellationToken,
}

impl Running {
    pub(crate) async fn end(self) -> Outcome {
        let Self { outcome, reporter, .. } = self;
        let ended = tokio::time::timeout(LONG, outcome).await;
        ended.unwrap_or_else(|_| panic!("the step does not end; it says {:?}", shown(&reporter))).unwrap()
    }

    /// Waits for a line that holds this text.
    pub(crate) async fn said(&self, text: &str) {
        let said = || async { shown(&self.reporter).iter().any(|line| line.contains(text)) };
        until(&format!("the step says {text:?}"), said).await;
    }
}

pub(crate) fn shown(reporter: &Reporter) -> Vec<String> {
    reporter.lines_after(0).iter().map(|(_, line)| show(line)).collect()
}

fn show(line: &LogLine) -> String {
    match line {
        LogLine::Message { text } => text.clone(),
        other => format!("{other:?}"),
    }
}

/// Keeps a session for the next migration longer than the agent does: on a busy machine a test may be slower than a server.
pub(crate) fn parking() -> migrate::Parking {
    migrate::Parking::keeping_for(Duration::from_secs(5))
}

pub(crate) fn work(migration: &Migration) -> MigrateWork {
    MigrateWork {
        only_look: false,
        begin_by: None,
        migration: migration.clone(),
        variant: Variant::Standard,
        locks: locks(),
        system_identifier: None,
        restore_saved: None,
        resolution: None,
        backfill: BackfillSettings::default(),
        saving: SaveSettings::default(),
        limits: limits(),
        parking: Parking::default(),
    }
}

pub(crate) fn rollback_work(migration: &Migration) -> RollbackWork {
    RollbackWork {
        migration: migration.clone(),
        locks: locks(),
        system_identifier: None,
        backfill: BackfillSettings::default(),
        saving: SaveSettings::default(),
        resolution: None,
        by_hand: None,
        limits: limits(),
    }
}

/// Short enough for a test, long enough for a busy machine.
pub(crate) fn locks() -> LockSettings {
    LockSettings {
        lock_retry_for: Duration::from_secs(20),
        concurrent_lock_timeout: Duration::from_secs(20),
        ..LockSettings::default()
    }
}

/// The same for the rest.
pub(crate) fn limits() -> Limits {
    Limits {
        commit_deadline: Duration::from_secs(10),
        orphan_grace: Duration::from_millis(100),
        reconnect: Duration::from_secs(10),
        copy_ahead_from: None,
    }
}

pub(crate) fn migration(id: &str, files: &[(&str, &str)]) -> Migration {
    let files: BTreeMap<_, _> =
        files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    Migration::parse(id.parse().unwrap(), files).unwrap()
}

pub(crate) fn database(url: &str) -> Arc<Database> {
    Arc::new(configured(&format!("url = {url:?}")))
}

/// A database by the lines of its `[[database]]`.
pub(crate) fn configured(lines: &str) -> Database {
    let config: DatabaseConfig =
        stopover_model::config::parse("agent.toml", &format!("name = \"users\"\n{lines}")).unwrap();
    Database::new(&config).unwrap()
}

pub(crate) fn applied(outcome: Outcome) -> MigrateReport {
    match outcome {
        Outcome::Succeeded { report: StepReport::Migrated(report) } => report,
        other => panic!("{other:#?}"),
    }
}

pub(crate) fn rolled_back(outcome: Outcome) -> RollbackReport {
    match outcome {
        Outcome::Succeeded { report: StepReport::RolledBack(report) } => report,
        other => panic!("{other:#?}"),
    }
}

pub(crate) fn failure(outcome: Outcome) -> StepError {
    match outcome {
        Outcome::Failed { error, .. } => error,
        other => panic!("{other:#?}"),
    }
}

pub(crate) fn unknown(outcome: Outcome) -> StepError {
    match outcome {
        Outcome::Unknown { error } => error,
        other => panic!("{other:#?}"),
    }
}

pub(crate) async fn value(client: &Client, sql: &str) -> String {
    let rows = client.simple_query(sql).await.unwrap();
    rows.iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("NULL").to_owned()),
            _ => None,
        })
        .unwrap_or_else(|| "no row".to_owned())
}

pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    until_within(DEADLINE, what, condition).await;
}

/// The same for what takes long on a machine that has other things to do.
pub(crate) async fn until_within<F: Future<Output = bool>>(
    deadline: Duration,
    what: impl Display,
    mut condition: impl FnMut() -> F,
) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < deadline, "waited too long until {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
