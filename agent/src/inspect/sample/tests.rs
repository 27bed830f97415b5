use stopover_cluster::TestDatabase;
use stopover_model::event::StepKind;
use stopover_model::impact::{SampleWish, WorkKind};
use stopover_model::migration::Migration;
use stopover_model::report::{Inspection, Outcome, StepReport};

use crate::inspect::{InspectRequest, run};
use crate::testing::{context, migration, prepared};

/// 20,000 users with what a trial could set off: a trigger, sequences, a foreign key, a generated column.
const USERS: &str = "
    CREATE SEQUENCE fired;
    CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM nextval('fired'); RAISE NOTICE 'fired'; RETURN new; END $$;
    CREATE TABLE orgs (id int PRIMARY KEY);
    INSERT INTO orgs VALUES (1);
    CREATE TABLE users (
        id serial PRIMARY KEY, number int GENERATED ALWAYS AS IDENTITY, org int REFERENCES orgs, email text UNIQUE,
        done boolean, twice int GENERATED ALWAYS AS (org * 2) STORED, CHECK (org > 0)
    );
    INSERT INTO users (org, email) SELECT 1, 'user' || n FROM generate_series(1, 20000) n;
    CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION fire();
    ANALYZE";

const UP: &str = "
    ALTER TABLE public.users ADD COLUMN seen int;
    SET lock_timeout = '1s';
    UPDATE users SET seen = 1, done = true WHERE seen IS NULL;
    ALTER TABLE users ALTER COLUMN seen SET NOT NULL;
    CREATE INDEX CONCURRENTLY users_seen ON public.users (seen, email);
    ALTER TABLE users ALTER COLUMN seen TYPE bigint";

fn wish() -> SampleWish {
    SampleWish { migrations: vec!["001_x".parse().unwrap()], measured: Vec::new() }
}

async fn inspected(url: &str, migration: Migration, sample: Option<SampleWish>) -> Inspection {
    let context = context(url, StepKind::Inspect);
    let outcome = run(&context, &InspectRequest { migrations: vec![migration], sample, backup: None }).await;
    assert_eq!(context.reporter.lines_after(0), []);
    match outcome {
        Outcome::Succeeded { report: StepReport::Inspected(inspection) } => inspection,
        other => panic!("{other:?}"),
    }
}

/// The statements that have a sample, from 0, each with its rows.
async fn sampled(database: &TestDatabase, up: &str) -> Vec<(u32, u64)> {
    let migration = migration(&[("up.sql", up)]);
    let found = inspected(database.url(), migration, Some(wish())).await;
    let statements = found.impacts.iter().flat_map(|impact| &impact.statements);
    statements.filter_map(|s| s.sample.map(|sample| (s.index, sample.rows))).collect()
}

/// All that a trial could leave behind.
async fn traces(database: &TestDatabase) -> Vec<String> {
    let client = database.client().await.unwrap();
    let sql = "
        SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
        UNION ALL SELECT 'relation ' || oid::regclass::text FROM pg_class WHERE oid >= 16384
        UNION ALL SELECT 'sequence ' || sequencename || ' ' || coalesce(last_value::text, 'unused') FROM pg_sequences
        UNION ALL SELECT 'lock ' || l.locktype || ' ' || l.mode FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                  WHERE d.datname = current_database() AND l.pid <> pg_backend_pid()
        UNION ALL SELECT 'session ' || application_name FROM pg_stat_activity
                  WHERE datname = current_database() AND application_name LIKE 'stopover/%' AND xact_start IS NOT NULL
        UNION ALL SELECT 'rows ' || count(*) || ' ' || coalesce(sum(hashtext(u::text)), 0) FROM users u
        UNION ALL SELECT 'orgs ' || count(*) FROM orgs
        ORDER BY 1";
    client.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn statements_are_timed_on_a_few_rows_and_leave_nothing_behind() {
    let database = prepared(USERS).await;
    let before = traces(&database).await;
    assert_eq!(sampled(&database, UP).await, [(2, 10_000), (3, 10_000), (4, 10_000), (5, 10_000)]);
    assert_eq!(traces(&database).await, before);
    assert!(before.contains(&"sequence fired unused".to_owned()), "{before:?}");
}

#[tokio::test]
async fn only_a_readers_lock_is_taken() {
    let database = prepared(USERS).await;
    let other = database.client().await.unwrap();
    other.batch_execute("BEGIN; LOCK TABLE users, orgs IN EXCLUSIVE MODE").await.unwrap();
    assert_eq!(sampled(&database, UP).await.len(), 4);
}

#[tokio::test]
async fn a_table_that_can_not_be_read_is_not_waited_for() {
    let database = prepared(USERS).await;
    let other = database.client().await.unwrap();
    other.batch_execute("BEGIN; LOCK TABLE orgs IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let started = std::time::Instant::now();
    assert_eq!(sampled(&database, "UPDATE orgs SET id = id").await, []);
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

#[tokio::test]
async fn what_could_reach_beyond_the_copies_ends_the_trial() {
    let database = prepared(USERS).await;
    let before = traces(&database).await;
    for up in [
        "UPDATE users SET seen = nextval('public.users_id_seq')",
        "UPDATE users SET org = (SELECT count(*) FROM public.orgs)",
        "UPDATE users SET org = (SELECT count(*) FROM orgs)",
        "UPDATE users SET email = query_to_xml('SELECT nextval(''public.fired'')', true, true, '')::text",
        "UPDATE users SET done = pg_advisory_lock(7) IS NULL",
        "DO $$ BEGIN UPDATE users SET done = true; END $$; UPDATE users SET done = false",
    ] {
        assert_eq!(sampled(&database, up).await, [], "{up}");
    }
    assert_eq!(traces(&database).await, before);
    // Of what is written there are copies.
    let gone = "WITH gone AS (DELETE FROM public.orgs) UPDATE users SET done = true";
    assert_eq!(sampled(&database, gone).await, [(0, 10_000)]);
    assert_eq!(traces(&database).await, before);
    // What comes before is known all the same.
    let both = "UPDATE users SET done = true; UPDATE users SET org = (SELECT count(*) FROM public.orgs)";
    assert_eq!(sampled(&database, both).await, [(0, 10_000)]);
}

#[tokio::test]
async fn nothing_is_tried_where_it_would_leave_a_trace_or_behave_otherwise() {
    let update = "UPDATE users SET done = true";
    for setup in [
        "CREATE FUNCTION seen() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION seen()",
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        "CREATE RULE r AS ON UPDATE TO users DO ALSO NOTHING",
        "CREATE TABLE more () INHERITS (users)",
    ] {
        let database = prepared(USERS).await;
        database.client().await.unwrap().batch_execute(setup).await.unwrap();
        assert_eq!(sampled(&database, update).await, [], "{setup}");
    }
}

#[tokio::test]
async fn a_role_that_may_not_create_tries_nothing() {
    let database = prepared(USERS).await;
    let admin = database.client().await.unwrap();
    let (role, name) = (format!("role_{}", database.name()), database.name());
    let grant = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT CONNECT ON DATABASE {name} TO {role}; GRANT ALL ON users TO {role}"
    );
    admin.batch_execute(&grant).await.unwrap();
    let port = database.config().get_ports()[0];
    let url = format!("host=127.0.0.1 port={port} user={role} password=x dbname={name}");
    let migration = migration(&[("up.sql", "UPDATE users SET done = true")]);
    let found = inspected(&url, migration, Some(wish())).await;
    assert!(found.impacts.iter().flat_map(|i| &i.statements).all(|s| s.sample.is_none()));
    admin.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
async fn nothing_is_tried_that_was_not_asked_for() {
    let database = prepared(USERS).await;
    let count = async |wish| {
        let found = inspected(database.url(), migration(&[("up.sql", UP)]), wish).await;
        found.impacts.iter().flat_map(|i| &i.statements).filter(|s| s.sample.is_some()).count()
    };
    assert_eq!(count(None).await, 0);
    assert_eq!(count(Some(SampleWish::default())).await, 0);
    let known =
        SampleWish { measured: vec![WorkKind::ChangeRows, WorkKind::Scan, WorkKind::BuildIndex], ..wish() };
    assert_eq!(count(Some(known)).await, 1);
}

#[tokio::test]
async fn hostile_names_are_only_names() {
    let setup = "CREATE SCHEMA \"a.b\"; CREATE TABLE \"a.b\".\"users; DROP TABLE x\" (id int, \"d\"\"one\" boolean);
        INSERT INTO \"a.b\".\"users; DROP TABLE x\" SELECT n FROM generate_series(1, 5000) n; ANALYZE; CREATE TABLE users ()";
    let database = prepared(setup).await;
    let up = "UPDATE \"a.b\".\"users; DROP TABLE x\" SET \"d\"\"one\" = true";
    assert_eq!(sampled(&database, up).await, [(0, 5_000)]);
}

#[tokio::test]
async fn a_large_table_is_sampled_here_and_there() {
    let setup = "CREATE TABLE users (id int PRIMARY KEY, note text, done boolean);
        INSERT INTO users SELECT n, repeat('x', 300) FROM generate_series(1, 60000) n; ANALYZE";
    let database = prepared(setup).await;
    assert_eq!(sampled(&database, "UPDATE users SET done = true").await, [(0, 10_000)]);
}

#[tokio::test]
async fn an_inspection_that_is_stopped_leaves_nothing_behind() {
    let database = prepared(USERS).await;
    let before = traces(&database).await;
    let context = context(database.url(), StepKind::Inspect);
    let cancel = context.cancel.clone();
    let request =
        InspectRequest { migrations: vec![migration(&[("up.sql", UP)])], sample: Some(wish()), backup: None };
    let running = tokio::spawn(async move { run(&context, &request).await });
    let client = database.client().await.unwrap();
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while client.query_one(at_work, &[]).await.unwrap().get::<_, i64>(0) == 0 && !running.is_finished() {
        assert!(std::time::Instant::now() < deadline, "no trial began");
    }
    cancel.cancel();
    running.await.unwrap();
    assert_eq!(traces(&database).await, before);
}
