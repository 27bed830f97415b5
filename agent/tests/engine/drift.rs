//! What others do to the schema between two deployments is seen; what Stopover does itself, and what changes nothing, is not.

use std::time::Duration;

use stopover_agent::drift;
use stopover_agent::inspect::{self, InspectRequest};
use stopover_agent::migrate::{self, MigrateWork};
use stopover_agent::record::{self, RecordWork};
use stopover_model::drift::{Comparison, Drift, SchemaLook};
use stopover_model::event::StepKind;
use stopover_model::history::{AppliedMigration, Origin};
use stopover_model::report::{ErrorClass, Inspection, Outcome, StepReport};

use crate::support::*;

async fn inspected(bench: &Bench) -> Inspection {
    match inspect::run(
        &bench.context(StepKind::Inspect),
        &InspectRequest { migrations: vec![], sample: None, backup: None },
    )
    .await
    {
        Outcome::Succeeded { report: StepReport::Inspected(inspection) } => inspection,
        other => panic!("{other:#?}"),
    }
}

async fn drift_of(bench: &Bench) -> Drift {
    *inspected(bench).await.drift.expect("a drift")
}

async fn named(bench: &Bench) -> Vec<String> {
    let drift = inspected(bench).await.drift;
    drift.map(|drift| drift.objects.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

async fn assert_none(bench: &Bench, when: &str) {
    let found = inspected(bench).await;
    assert_eq!((found.drift, found.warnings), (None, vec![]), "{when}");
    assert_memory_is_the_schema(bench, when).await;
}

/// Without this an empty memory would be content with anything.
async fn assert_memory_is_the_schema(bench: &Bench, when: &str) {
    let look = drift::look(&bench.context(StepKind::Inspect)).await.unwrap();
    let Comparison::Known(drift) = &look.comparison else { panic!("{when}: {look:?}") };
    assert!(drift.is_none(), "{when}: {drift:?}");
    assert_eq!(bench.value("SELECT digest FROM stopover.schema").await, look.schema.to_string(), "{when}");
}

/// Tables as people have them, known by a first migration.
async fn known() -> Bench {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE TABLE users (id bigint PRIMARY KEY, email text, nick integer DEFAULT 1, old text); \
             CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$; \
             CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch(); \
             CREATE TABLE events (at date, n int) PARTITION BY RANGE (at); \
             CREATE TABLE events_p1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        )
        .await;
    let first = migration("001_a", &[("up.sql", "CREATE TABLE made (id int)")]);
    applied(Box::pin(bench.migrate(&first)).await);
    assert_none(&bench, "after the first migration").await;
    bench
}

#[tokio::test]
async fn what_others_change_is_named_in_terms_that_people_know() {
    let bench = known().await;
    bench
        .execute(
            "CREATE INDEX users_email_idx ON users (email); ALTER TABLE users ALTER nick TYPE bigint; \
             ALTER TABLE users DROP COLUMN old; ALTER TABLE users DISABLE TRIGGER touched; \
             CREATE TABLE extra (id int PRIMARY KEY, b int CHECK (b > 0)); DROP TABLE made; \
             CREATE FUNCTION added(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'; \
             ALTER TABLE users ALTER email SET NOT NULL",
        )
        .await;
    let drift = drift_of(&bench).await;
    assert_eq!(
        drift.objects.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "column public.users.email changed (not null no -> yes)",
            "column public.users.nick changed (type integer -> bigint)",
            "column public.users.old is gone (text)",
            "function public.added(a integer) is new",
            "index public.users_email_idx is new (CREATE INDEX users_email_idx ON public.users USING btree (email))",
            "table public.extra is new",
            "table public.made is gone",
            "trigger public.users.touched changed (enabled yes -> no)",
        ]
    );
    assert_eq!((drift.more, drift.partitions), (0, 0));
    assert_eq!(drift.deployment.as_str(), DEPLOYMENT);
    assert_eq!(drift.migration.unwrap().as_str(), "001_a");
    // Taken back, it is none.
    bench
        .execute(
            "DROP INDEX users_email_idx; ALTER TABLE users ALTER nick TYPE integer; ALTER TABLE users ADD old text; \
             ALTER TABLE users ENABLE TRIGGER touched; DROP TABLE extra; CREATE TABLE made (id int); \
             DROP FUNCTION added; ALTER TABLE users ALTER email DROP NOT NULL",
        )
        .await;
    assert_none(&bench, "after it was taken back").await;
}

#[tokio::test]
async fn partitions_and_what_reindex_leaves_are_no_drift() {
    let bench = known().await;
    bench
        .execute(
            "CREATE TABLE events_p2 PARTITION OF events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); \
             ALTER TABLE events DETACH PARTITION events_p1; CREATE INDEX users_pkey_ccnew ON users (id); \
             UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'users_pkey_ccnew'::regclass",
        )
        .await;
    let drift = drift_of(&bench).await;
    assert_eq!((drift.objects, drift.partitions), (vec![], 2));
    bench.execute("CREATE INDEX ON events_p2 (n)").await;
    assert_eq!(named(&bench).await, Vec::<String>::new(), "of a partition that nobody knew");
    bench.execute("CREATE INDEX ON events (n)").await;
    assert_eq!(named(&bench).await.len(), 1, "the parent is people's affair: {:?}", named(&bench).await);
}

#[tokio::test]
async fn what_changes_nothing_is_none() {
    let bench = known().await;
    bench.execute("INSERT INTO users SELECT g, 'e', g, 'o' FROM generate_series(1, 1000) AS g").await;
    for sql in [
        "ANALYZE",
        "VACUUM FULL users",
        "REINDEX TABLE CONCURRENTLY users",
        "CREATE TEMP TABLE mine (id int)",
        "CREATE INDEX gone ON users (email); DROP INDEX gone",
        "GRANT SELECT ON users TO PUBLIC",
    ] {
        bench.execute(sql).await;
        assert_none(&bench, sql).await;
    }
    // An extension is one object, whatever it brings along.
    bench.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await;
    assert_eq!(named(&bench).await, ["extension pg_stat_statements is new"]);
    bench.execute("DROP EXTENSION pg_stat_statements").await;
    // And who looks does not matter.
    let role = format!("looker_{}", bench.test.name());
    let make = format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{role}'; GRANT USAGE ON SCHEMA stopover TO {role}; \
         GRANT SELECT ON stopover.migration TO {role}"
    );
    bench.execute(&make).await;
    let mut other = bench;
    other.login_as(&role);
    let warned = inspected(&other).await;
    assert_eq!(warned.drift, None);
    assert!(warned.warnings.join("\n").contains("could not be seen: permission denied"), "{warned:?}");
    let hint = drift::look(&other.context(StepKind::Inspect)).await.unwrap_err().hint.unwrap();
    assert!(hint.contains("GRANT USAGE ON SCHEMA stopover"), "{hint}");
    other.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA stopover TO {role}")).await;
    assert_eq!(inspected(&other).await.drift, None);
    other.execute("CREATE INDEX i ON users (email)").await;
    assert_eq!(named(&other).await.len(), 1);
    other.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn our_own_migrations_of_every_kind_are_none() {
    let bench = known().await;
    run_every_kind(&bench, &[]).await;
    assert_none(&bench, "after all of them").await;
}

#[tokio::test]
async fn what_is_strange_stays_strange_whatever_we_migrate() {
    let bench = known().await;
    bench.execute("CREATE INDEX strange ON users (email); ALTER TABLE users DROP old").await;
    let strange = [
        "column public.users.old is gone (text)",
        "index public.strange is new (CREATE INDEX strange ON public.users USING btree (email))",
    ];
    run_every_kind(&bench, &strange).await;
    bench.execute("DROP INDEX strange; ALTER TABLE users ADD old text").await;
    assert_eq!(named(&bench).await, Vec::<String>::new(), "it is as it was");
}

/// Up, down and up again, with nothing but these objects ever reported.
async fn run_every_kind(bench: &Bench, expected: &[&str]) {
    let failing = migration("09_fails", &[("up.sql", "CREATE TABLE d AS SELECT * FROM pg_temp.x")]);
    failure(Box::pin(bench.migrate(&failing)).await);
    assert_eq!(named(bench).await, expected, "after one that failed");
    let backfill = "ALTER TABLE users ADD plan text;\n-- stopover: backfill\nUPDATE users SET plan = 'x' WHERE plan IS NULL;";
    let parking = parking();
    for (id, up, down) in [
        ("10_near", "ALTER TABLE users ADD a int; CREATE INDEX a ON users (a)", "ALTER TABLE users DROP a"),
        ("11_rows", "INSERT INTO users (id) VALUES (1), (2), (3)", "DELETE FROM users"),
        (
            "12_whole",
            "ALTER TABLE users ALTER nick SET DEFAULT 7",
            "ALTER TABLE users ALTER nick SET DEFAULT 1",
        ),
        ("13_view", "CREATE VIEW v AS SELECT id FROM users", "DROP VIEW v"),
        ("14_not_near", "ALTER TABLE users ADD after_view int", "ALTER TABLE users DROP after_view"),
        ("15_steps", "CREATE INDEX CONCURRENTLY n ON users (nick)", "DROP INDEX CONCURRENTLY n"),
        (
            "16_blocks",
            "BEGIN; CREATE TABLE b (id int); COMMIT; VACUUM users; CREATE TABLE c (id int)",
            "DROP TABLE b; VACUUM users; DROP TABLE c",
        ),
        ("17_backfill", backfill, "ALTER TABLE users DROP plan"),
        (
            "18_one_snapshot",
            "BEGIN ISOLATION LEVEL SERIALIZABLE; CREATE TABLE s (id int); COMMIT",
            "DROP TABLE s",
        ),
        (
            "19_part",
            "CREATE TABLE events_p9 PARTITION OF events FOR VALUES FROM ('2027-02-01') TO ('2027-03-01')",
            "DROP TABLE events_p9",
        ),
    ] {
        let it = migration(id, &[("up.sql", up), ("down.sql", down)]);
        let parked = || MigrateWork { parking: parking.clone(), ..work(&it) };
        applied(Box::pin(migrate::run(bench.context(StepKind::Migrate), parked())).await);
        assert_eq!(named(bench).await, expected, "{id}");
        rolled_back(Box::pin(bench.roll_back(&it)).await);
        assert_eq!(named(bench).await, expected, "{id} rolled back");
        applied(Box::pin(migrate::run(bench.context(StepKind::Migrate), parked())).await);
        assert_eq!(named(bench).await, expected, "{id} again");
    }
}

#[tokio::test]
async fn while_a_migration_is_half_applied_nobody_can_tell() {
    let bench = known().await;
    let half = [
        ("up.sql", "CREATE TABLE one (id int); VACUUM users; SELECT 1/0"),
        ("down.sql", "DROP TABLE one; VACUUM users"),
    ];
    let it = migration("002_b", &half);
    failure(bench.migrate(&it).await);
    bench.execute("CREATE INDEX strange ON users (email)").await;
    assert_eq!(inspected(&bench).await.drift, None);
    let look = drift::look(&bench.context(StepKind::Inspect)).await.unwrap();
    let Comparison::Unknown { why } = look.comparison else { panic!("{look:?}") };
    assert_eq!(why, "002_b has begun and not ended: what else has changed can't be told");
    let by = "anna".parse().unwrap();
    let error = drift::accept(&bench.context(StepKind::Migrate), &by, look.schema).await.unwrap_err();
    assert!(error.message.starts_with("002_b has begun and not ended"), "{error:?}");
    let left = failure(bench.roll_back(&it).await);
    assert!(left.message.ends_with("left index users.strange"), "{left:?}");
    assert_none(&bench, "after the rollback, which looked at all and has told it").await;
    let nothing = migration("003_c", &[("up.sql", "VACUUM nosuchtable; SELECT 1")]);
    failure(bench.migrate(&nothing).await);
    assert_none(&bench, "after one of which nothing took effect").await;
}

#[tokio::test]
async fn what_a_crashed_attempt_did_not_see_is_seen_by_the_next() {
    let bench = known().await;
    bench.execute("CREATE INDEX strange ON users (email)").await;
    let strange = named(&bench).await;
    let files = [
        ("up.sql", "ALTER TABLE users ALTER nick SET DEFAULT 7"),
        ("down.sql", "ALTER TABLE users ALTER nick SET DEFAULT 1"),
    ];
    let it = migration("002_b", &files);
    // The agent dies behind the COMMIT: all is as it was but for the mark, which came with the effect.
    let keep = "CREATE TABLE stopover.keep AS TABLE stopover.object";
    let die = "TRUNCATE stopover.object; INSERT INTO stopover.object TABLE stopover.keep; DROP TABLE stopover.keep; \
               UPDATE stopover.schema SET digest = NULL, under_way = '002_b', strange = jsonb_build_object( \
                   'index users.strange', (SELECT changes -> 'index users.strange' ->> 1 FROM stopover.keep_strange))";
    let look = "CREATE TABLE stopover.keep_strange AS SELECT jsonb_build_object('index users.strange', \
                jsonb_build_array(NULL, (SELECT hash FROM stopover.object WHERE object = 'index users.strange'))) AS changes";
    bench.execute(keep).await;
    let by = "anna".parse().unwrap();
    let shown = drift::look(&bench.context(StepKind::Inspect)).await.unwrap();
    drift::accept(&bench.context(StepKind::Migrate), &by, shown.schema).await.unwrap();
    bench.execute(look).await;

    applied(bench.migrate(&it).await);
    bench.execute(die).await;
    assert_eq!(inspected(&bench).await.drift, None, "nothing is known");
    assert!(applied(bench.migrate(&it).await).already_applied);
    assert_eq!(named(&bench).await, strange, "the next attempt has looked");

    bench.execute(keep).await;
    rolled_back(bench.roll_back(&it).await);
    bench.execute(die).await;
    assert_eq!(inspected(&bench).await.drift, None);
    // Another deployment comes first.
    applied(bench.migrate(&migration("003_c", &[("up.sql", "CREATE TABLE c (id int)")])).await);
    assert_eq!(named(&bench).await, strange);
}

#[tokio::test]
async fn a_ledger_of_an_earlier_agent_or_another_server_knows_of_no_drift() {
    let bench = known().await;
    // As an agent before this one left it.
    bench
        .execute(
            "DROP TABLE stopover.schema, stopover.object; UPDATE stopover.version SET version = 3; \
             ALTER TABLE stopover.backfill DROP COLUMN lane, DROP COLUMN lanes; \
             CREATE INDEX strange ON users (email)",
        )
        .await;
    assert_eq!(inspected(&bench).await.drift, None);
    let look = drift::look(&bench.context(StepKind::Inspect)).await.unwrap();
    assert!(matches!(&look.comparison, Comparison::Unknown { why } if why.contains("nothing")), "{look:?}");
    applied(bench.migrate(&migration("002_b", &[("up.sql", "CREATE TABLE b (id int)")])).await);
    assert_none(&bench, "what was there when it began is known").await;

    bench
        .execute("UPDATE stopover.schema SET major = 14; UPDATE stopover.object SET hash = 'other words'")
        .await;
    assert_eq!(inspected(&bench).await.drift, None, "another server writes the same in other words");
    applied(bench.migrate(&migration("003_c", &[("up.sql", "CREATE TABLE c (id int)")])).await);
    assert_none(&bench, "recorded anew").await;
}

#[tokio::test]
async fn a_person_accepts_what_was_shown_and_adopting_does_so_too() {
    let bench = known().await;
    let by = "anna".parse().unwrap();
    let look = async || drift::look(&bench.context(StepKind::Inspect)).await.unwrap();
    let accept =
        async |look: &SchemaLook| drift::accept(&bench.context(StepKind::Migrate), &by, look.schema).await;
    bench.execute("CREATE INDEX strange ON users (email)").await;
    let shown = look().await;
    bench.execute("CREATE INDEX stranger ON users (email)").await;
    let error = accept(&shown).await.unwrap_err();
    assert_eq!((error.class, named(&bench).await.len()), (ErrorClass::Drift, 2), "{error:?}");
    let after = accept(&look().await).await.unwrap();
    let Comparison::Known(after) = after.comparison else { panic!("{after:?}") };
    assert!(after.is_none() && after.origin.as_deref() == Some("accepted by anna"), "{after:?}");
    assert_none(&bench, "accepted").await;
    let sql = "SELECT what || ' ' || origin || ' ' || (changes ? 'index users.strange') FROM stopover.history \
               ORDER BY id DESC LIMIT 1";
    assert_eq!(bench.value(sql).await, "drift accepted accepted by anna true");

    // A migration that runs is not ended for it.
    let slow = bench.spawn(&migration("002_b", &[("up.sql", "SELECT pg_sleep(7); CREATE TABLE b (id int)")]));
    slow.said("StatementStarted").await;
    let error = accept(&look().await).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Lock, "{error:?}");
    applied(slow.end().await);

    bench.execute("CREATE INDEX strangest ON users (email)").await;
    let it = migration("000_before", &[("up.sql", "CREATE INDEX strangest ON users (email)")]);
    let migrations = vec![AppliedMigration { migration: it.id.clone(), digest: it.digest }];
    let work = RecordWork { migrations, origin: Origin::Baseline { by: "ben".parse().unwrap() } };
    record::run(&bench.context(StepKind::Migrate), &work).await.unwrap();
    assert_none(&bench, "adopted with its effect").await;
    bench.execute("DROP INDEX strangest").await;
    assert_eq!(drift_of(&bench).await.last_known().split(',').next().unwrap(), "as it was baseline by ben");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_look_that_can_not_be_had_is_a_warning_and_no_more() {
    let bench = known().await;
    bench.execute("CREATE VIEW v AS SELECT id FROM users").await;
    let other = bench.test.client().await.unwrap();
    other.batch_execute("BEGIN; LOCK TABLE stopover.object IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let found = tokio::time::timeout(Duration::from_secs(20), inspected(&bench)).await.unwrap();
    assert_eq!(found.drift, None);
    assert!(
        found.warnings[0].contains("could not be seen: canceling statement due to lock timeout"),
        "{found:?}"
    );
}

#[tokio::test]
async fn many_differences_are_counted_and_some_are_named() {
    let bench = known().await;
    bench
        .execute("DO $$ BEGIN FOR i IN 1..230 LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY)', i); END LOOP; END $$")
        .await;
    let drift = drift_of(&bench).await;
    assert_eq!((drift.objects.len(), drift.more), (200, 30));
}

#[tokio::test]
async fn a_dump_that_was_restored_knows_its_schema() {
    let (bench, other) = (known().await, Bench::new().await);
    let pipe = format!(
        "pg_dump --dbname='{}' | psql -q -v ON_ERROR_STOP=1 '{}'",
        bench.test.url(),
        other.test.url()
    );
    let ended = tokio::process::Command::new("sh").args(["-c", &pipe]).output().await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_none(&other, "after the restore").await;
    other.execute("CREATE INDEX strange ON users (email)").await;
    assert_eq!(named(&other).await.len(), 1);
}
