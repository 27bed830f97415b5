//! What several of the tests need.

use std::path::PathBuf;
use std::sync::Mutex;

use serde_json::Value;
use stopover_tests::{Cli, Finished, Process, Stack, eventually};
use tokio_postgres::Client;

/// Staging, then production; a short soak, a decoded backup, failures roll back.
pub(crate) const PIPELINE: &str = r##"
name = "users-db"
contacts = ["#db-oncall"]
[[stage]]
environment = "staging"
soak = "2s"
on_failure = "rollback"
[[stage]]
environment = "production"
backup = "decoded"
on_failure = "rollback"
lock_timeout = "200ms"
"##;

/// One stage only.
pub(crate) fn one_stage(environment: &str, on_failure: &str) -> String {
    format!("name = \"p\"\n[[stage]]\nenvironment = \"{environment}\"\non_failure = \"{on_failure}\"\n")
}

/// One number out of a database.
pub(crate) async fn number(client: &Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}")).get(0)
}

/// Counts every update of a row of `users` from here on.
pub(crate) async fn count_updates(client: &Client) {
    let sql = "CREATE TABLE touched (id bigint NOT NULL);
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO touched VALUES (NEW.id); RETURN NULL; END $$;
         CREATE TRIGGER touched AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();";
    client.batch_execute(sql).await.expect("the trigger");
}

/// Asserts that each row of `users` was updated exactly once since [`count_updates`].
pub(crate) async fn assert_each_row_updated_once(client: &Client) {
    let users = number(client, "SELECT count(*) FROM users").await;
    assert_eq!(
        number(client, "SELECT count(DISTINCT id) FROM touched").await,
        users,
        "some rows were missed"
    );
    assert_eq!(number(client, "SELECT count(*) FROM touched").await, users, "some rows were done twice");
}

/// What must not stay behind in a database, whatever happened: sessions, locks, invalid indexes.
pub(crate) async fn assert_nothing_left(client: &Client) {
    let sessions = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'stopover%'";
    eventually("the end of the agent's sessions", || async {
        (number(client, sessions).await == 0).then_some(())
    })
    .await;
    assert_eq!(
        number(client, "SELECT count(*) FROM pg_index WHERE NOT indisvalid").await,
        0,
        "invalid indexes"
    );
    let locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
         WHERE d.datname = current_database() AND locktype = 'advisory'";
    assert_eq!(number(client, locks).await, 0, "advisory locks");
}

/// A deployment in the background, with its events as they come.
pub(crate) struct Running {
    pub(crate) process: Process,
    read: Mutex<Read>,
}

/// What it has printed, as far as it was read: a large fleet's events are many, and looked at often.
#[derive(Default)]
struct Read {
    bytes: usize,
    records: Vec<Value>,
}

impl Running {
    /// `stopover deploy --json DIR`
    pub(crate) fn deploy(stack: &Stack, directory: &str) -> Self {
        let log = unused_log(stack);
        Self::of(stack.cli.start(&log, &["--json", "deploy", directory]))
    }

    /// Any command that prints events.
    pub(crate) fn of(process: Process) -> Self {
        Self { process, read: Mutex::default() }
    }

    /// What has been printed so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        self.look(<[Value]>::to_vec)
    }

    /// Looks at what has been printed so far; `look` asks for no more of it.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&[Value]) -> T) -> T {
        let mut read = self.read.lock().expect("nobody panicked while reading");
        let output = self.process.output();
        // The last line may be half written.
        let whole = output.rfind('\n').map_or(0, |end| end + 1);
        let new = output.get(read.bytes..whole).unwrap_or_default();
        let new = new.lines().filter_map(|line| serde_json::from_str(line).ok());
        read.records.extend(new.filter(|v: &Value| v.get("seq").is_some()));
        read.bytes = whole;
        look(&read.records)
    }

    /// Waits for a record.
    pub(crate) async fn until(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || async { self.records().into_iter().find(|r| fits(r)) }).await
    }

    /// Waits until what has been printed fits: for any time, as long as something new comes.
    pub(crate) async fn until_all(&self, what: &str, fits: impl Fn(&[Value]) -> bool) {
        let mut seen = 0;
        while !self.look(&fits) {
            seen =
                eventually(what, || async { self.look(|all| (all.len() > seen).then_some(all.len())) }).await;
        }
    }

    /// The deployment's id.
    pub(crate) async fn id(&self) -> String {
        let first = self.until("the first event", |_| true).await;
        first["deployment"].as_str().expect("an id").to_owned()
    }

    /// Waits for the end; gives the exit code.
    pub(crate) async fn ended(&mut self) -> i32 {
        self.process.ended().await.code().expect("stopover was killed")
    }
}

fn unused_log(stack: &Stack) -> PathBuf {
    (0..1_000)
        .map(|n| stack.directory().join(format!("deploy-{n}.log")))
        .find(|path| !path.exists())
        .expect("a free name")
}

/// A NOTICE line of a step, as `deploy --json` shows it.
pub(crate) fn is_notice(record: &Value) -> bool {
    record["event"]["line"]["line"] == "notice"
}

pub(crate) fn is_event(record: &Value, kind: &str) -> bool {
    record["event"]["event"] == kind
}

/// The start of a step of this kind in the pipeline's stage.
pub(crate) fn is_start(record: &Value, kind: &str, stage: u64) -> bool {
    let event = &record["event"];
    event["event"] == "step_started" && event["step"]["kind"] == kind && event["step"]["stage"] == stage
}

/// The end of a step of this kind in the pipeline's stage.
pub(crate) fn is_finish(record: &Value, kind: &str, stage: u64) -> bool {
    let event = &record["event"];
    event["event"] == "step_finished" && event["step"]["kind"] == kind && event["step"]["stage"] == stage
}

/// The last event's outcome.
pub(crate) fn outcome(records: &[Value]) -> String {
    let last = records.last().expect("an event");
    last["event"]["outcome"].as_str().unwrap_or_default().to_owned()
}

/// Asserts that the records are 1, 2, 3 … without gap or double.
pub(crate) fn assert_contiguous(records: &[Value]) {
    let seqs: Vec<_> = records.iter().map(|r| r["seq"].as_u64().expect("a seq")).collect();
    let wanted: Vec<_> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, wanted);
}

/// The whole log, as the server has it.
pub(crate) async fn log(cli: &Cli, id: &str) -> Vec<Value> {
    cli.run(&["--json", "watch", id]).await.json().into_iter().filter(|v| v.get("seq").is_some()).collect()
}

/// `stopover deploy --json DIR` to its end.
pub(crate) async fn deploy(stack: &Stack, directory: &str) -> (Finished, Vec<Value>) {
    let finished = stack.cli.run(&["--json", "deploy", directory]).await;
    let records = finished.json().into_iter().filter(|v| v.get("seq").is_some()).collect();
    (finished, records)
}
