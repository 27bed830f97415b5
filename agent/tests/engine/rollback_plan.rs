//! What a rollback would take, said before it takes it.

use stopover_agent::rollback::plan::{PATIENT, PlanWish, look};
use stopover_model::event::StepKind;
use stopover_model::impact::LockMode;
use stopover_model::migration::Migration;
use stopover_model::pipeline::SaveSettings;
use stopover_model::report::{Effect, ErrorClass, Outcome, StepReport};
use stopover_model::rollback::{Fate, RollbackPlan, Taken, Taking, WrittenSince};

use crate::support::*;

async fn plan(bench: &Bench, migrations: &[&Migration]) -> RollbackPlan {
    let wish = PlanWish {
        deployment: DEPLOYMENT.parse().unwrap(),
        migrations: migrations.iter().map(|m| (*m).clone()).collect(),
        saving: SaveSettings::default(),
        only_later: false,
        count_for: PATIENT,
    };
    look(&bench.context(StepKind::Inspect), &wish).await.unwrap()
}

fn taken<'a>(plan: &'a RollbackPlan, object: &str) -> &'a Taken {
    let mut takes = plan.migrations.iter().flat_map(|m| &m.takes);
    takes.find(|t| t.object == object).unwrap_or_else(|| panic!("{object} is not in {plan:#?}"))
}

fn since(taken: &Taken) -> u64 {
    match &taken.held.as_ref().unwrap().since {
        WrittenSince::Rows { rows, .. } => *rows,
        WrittenSince::Unknown { why } => panic!("not known: {why}"),
    }
}

async fn with_users() -> Bench {
    let bench = Bench::new().await;
    bench
        .execute(
            "CREATE TABLE users (id int PRIMARY KEY, a text);
             INSERT INTO users SELECT n, 'a' FROM generate_series(1, 1000) AS n",
        )
        .await;
    bench
}

const PLAN: [(&str, &str); 2] = [
    (
        "up.sql",
        "ALTER TABLE users ADD plan text;\nUPDATE users SET plan = 'free' WHERE id <= 400;\n\
         CREATE INDEX users_plan ON users (plan);\nALTER TABLE users ADD CONSTRAINT plan_known CHECK (plan <> 'none');",
    ),
    ("down.sql", "ALTER TABLE users DROP COLUMN plan;"),
];

#[tokio::test]
async fn a_column_is_counted_with_what_was_written_since_and_what_goes_along() {
    let bench = with_users().await;
    let one = migration("001_plan", &PLAN);
    applied(bench.migrate(&one).await);
    let before = plan(&bench, &[&one]).await;
    let column = taken(&before, "column users.plan");
    let held = column.held.as_ref().unwrap();
    assert_eq!((held.rows, held.counted, since(column)), (400, true, 0), "{before:#?}");
    assert!(held.bytes >= 400 * 5, "{held:?}");
    assert_eq!(column.along, ["constraint plan_known on table users", "index users_plan"]);
    assert_eq!((column.in_the_way.len(), column.how), (0, Taking::Dropped));
    let lock = &before.migrations[0].statements[0].locks[0];
    assert_eq!((lock.relation.as_str(), lock.mode), ("public.users", LockMode::AccessExclusive));

    bench
        .execute("UPDATE users SET plan = 'paid' WHERE id <= 30; INSERT INTO users VALUES (2000, 'x', 'new')")
        .await;
    bench.execute("UPDATE users SET a = 'other' WHERE id BETWEEN 900 AND 1000").await;
    let after = plan(&bench, &[&one]).await;
    let column = taken(&after, "column users.plan");
    assert_eq!(
        (column.held.as_ref().unwrap().rows, since(column)),
        (401, 31),
        "rows without a plan lose none"
    );
    // An old transaction number is no newer than the migration's.
    bench.execute("VACUUM (FREEZE) users").await;
    assert_eq!(since(taken(&plan(&bench, &[&one]).await, "column users.plan")), 31);
    bench.assert_clean().await;
}

#[tokio::test]
async fn what_depends_on_it_stands_in_the_way_unless_it_goes_before_or_with_it() {
    let bench = with_users().await;
    let files = |down| [PLAN[0], ("down.sql", down)];
    let one = migration("001_plan", &files(PLAN[1].1));
    applied(bench.migrate(&one).await);
    bench
        .execute(
            "CREATE VIEW paying AS SELECT id FROM users WHERE plan <> 'free';
             CREATE VIEW names AS SELECT a FROM users;
             CREATE VIEW richest AS SELECT * FROM paying;
             CREATE FUNCTION price(id int) RETURNS text LANGUAGE plpgsql AS
                 $$ BEGIN RETURN (SELECT plan FROM users u WHERE u.id = price.id); END $$;",
        )
        .await;
    let blocked = plan(&bench, &[&one]).await;
    let column = taken(&blocked, "column users.plan");
    assert_eq!(column.in_the_way, ["view paying"]);
    assert_eq!(column.notes.len(), 1, "{:?}", column.notes);
    assert!(column.notes[0].starts_with("function price(integer) speaks of it"), "{:?}", column.notes);
    // So it is.
    let error = failure(bench.roll_back(&one).await);
    assert_eq!(error.sqlstate.as_deref(), Some("2BP01"));

    let cascade = migration("001_plan", &files("ALTER TABLE users DROP COLUMN plan CASCADE;"));
    let with_it = plan(&bench, &[&cascade]).await;
    let column = taken(&with_it, "column users.plan");
    assert_eq!(column.in_the_way, [""; 0]);
    for view in ["view paying", "view richest"] {
        assert!(column.along.iter().any(|o| o == view), "{:?}", column.along);
    }
    // A view that is written anew before no longer stands in the way, as far as can be told.
    let anew = "CREATE OR REPLACE VIEW paying AS SELECT id FROM users; ALTER TABLE users DROP plan;";
    let anew = plan(&bench, &[&migration("001_plan", &files(anew))]).await;
    assert_eq!(anew.in_the_way().count(), 0, "{anew:#?}");
    let notes = &taken(&anew, "column users.plan").notes;
    assert!(notes.iter().any(|n| n.starts_with("view paying depends on it now")), "{notes:?}");
    let in_order =
        migration("001_plan", &files("DROP VIEW richest; DROP VIEW paying; ALTER TABLE users DROP plan;"));
    let in_order = plan(&bench, &[&in_order]).await;
    assert_eq!(in_order.in_the_way().count(), 0, "{in_order:#?}");
    assert_eq!(taken(&in_order, "column users.plan").statement, 2);
}

#[tokio::test]
async fn a_table_goes_with_its_rows_and_foreign_keys_of_others_stand_in_the_way() {
    let bench = with_users().await;
    let files = [
        (
            "up.sql",
            "CREATE TABLE plans (id int PRIMARY KEY, name text); INSERT INTO plans VALUES (1, 'free');",
        ),
        ("down.sql", "DROP TABLE plans;"),
    ];
    let one = migration("001_plans", &files);
    applied(bench.migrate(&one).await);
    let alone = plan(&bench, &[&one]).await;
    let table = taken(&alone, "table plans");
    assert_eq!((table.held.as_ref().unwrap().rows, since(table), table.in_the_way.len()), (1, 0, 0));
    bench
        .execute("INSERT INTO plans VALUES (2, 'paid'); ALTER TABLE users ADD plan int REFERENCES plans; CREATE TABLE empty ()")
        .await;
    let referenced = plan(&bench, &[&one]).await;
    let table = taken(&referenced, "table plans");
    assert_eq!(table.in_the_way, ["constraint users_plan_fkey on table users"]);
    assert_eq!(since(table), 1);
    assert!(referenced.takes_data() && !referenced.loses_data());
    assert_eq!(table.fate, Some(Fate::Saved { keep_for: None }));
    let files = [files[0], files[1], ("migration.toml", "save = false")];
    let unsaved = plan(&bench, &[&migration("001_plans", &files)]).await;
    assert!(unsaved.loses_data());
    let why = "the migration says save = false".to_owned();
    assert_eq!(taken(&unsaved, "table plans").fate, Some(Fate::Lost { why }));
    // Of a table without rows nothing is lost; of what is not there nothing is said.
    let other =
        migration("001_plans", &[files[0], ("down.sql", "DROP TABLE empty; DROP TABLE IF EXISTS nowhere")]);
    let none = plan(&bench, &[&other]).await;
    assert!(!none.loses_data() && none.migrations[0].takes.len() == 1, "{none:#?}");
}

#[tokio::test]
async fn partitions_truncations_and_blocks_are_told_apart() {
    let bench = with_users().await;
    let up = "CREATE TABLE log (at int, what text) PARTITION BY RANGE (at);
              CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10);
              CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (10) TO (20);
              INSERT INTO log SELECT n, 'x' FROM generate_series(0, 19) AS n;";
    let down =
        "TRUNCATE log_1; DELETE FROM users; DO $$ BEGIN EXECUTE 'DROP TABLE users'; END $$; DROP TABLE log;";
    let one = migration("001_log", &[("up.sql", up), ("down.sql", down)]);
    applied(bench.migrate(&one).await);
    let plan = plan(&bench, &[&one]).await;
    let takes = &plan.migrations[0].takes;
    let said: Vec<_> =
        takes.iter().map(|t| (t.statement, t.how, t.held.as_ref().map(|held| held.rows))).collect();
    assert_eq!(
        said,
        [
            (0, Taking::Emptied, Some(10)),
            (1, Taking::Emptied, Some(1000)),
            (2, Taking::Hidden, None),
            (3, Taking::Dropped, Some(20)),
        ]
    );
    let lost: Vec<_> = takes.iter().map(Taken::loses_data).collect();
    assert_eq!(lost, [false, true, true, false]);
    assert_eq!(takes[3].along, ["table log_1", "table log_2"]);
    assert!(plan.loses_data());
}

#[tokio::test]
async fn what_others_have_applied_on_top_is_not_pulled_from_under_them() {
    let bench = with_users().await;
    let (one, two) =
        (migration("001_plan", &PLAN), migration("002_own", &[("up.sql", "CREATE TABLE own (id int)")]));
    applied(bench.migrate(&one).await);
    applied(bench.migrate(&two).await);
    assert!(plan(&bench, &[&one]).await.later.is_empty(), "its own deployment's");
    bench.execute("UPDATE stopover.migration SET deployment = 'zzzzzzzzzz' WHERE id = '002_own'").await;
    let later = plan(&bench, &[&one]).await.later;
    assert_eq!((later[0].migration.as_str(), later[0].deployment.as_str()), ("002_own", "zzzzzzzzzz"));
    let error = failure(bench.roll_back(&one).await);
    assert_eq!(error.class, ErrorClass::Drift);
    assert!(error.message.contains("002_own (deployment zzzzzzzzzz)"), "{}", error.message);
    assert!(error.hint.unwrap().contains("stopover rollback zzzzzzzzzz --stage staging"));
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration").await, "2", "nothing was touched");
    // What was there before, and only counts as applied since, is in nobody's way.
    bench.execute("UPDATE stopover.migration SET origin = 'baseline by ada' WHERE id = '002_own'").await;
    assert!(plan(&bench, &[&one]).await.later.is_empty());
    rolled_back(bench.roll_back(&one).await);
}

#[tokio::test]
async fn a_ledger_that_was_restored_does_not_pretend_to_know_what_is_new() {
    let bench = with_users().await;
    let one = migration("001_plan", &PLAN);
    applied(bench.migrate(&one).await);
    applied(bench.migrate(&migration("002_own", &[("up.sql", "CREATE TABLE own (id int)")])).await);
    bench.execute("UPDATE stopover.migration SET agent = agent").await;
    let plan = plan(&bench, &[&one]).await;
    let held = taken(&plan, "column users.plan").held.clone().unwrap();
    assert!(matches!(&held.since, WrittenSince::Unknown { why } if why.contains("restored")), "{held:?}");
    assert_eq!(held.rows, 400);
}

#[tokio::test]
async fn the_record_says_what_was_taken_and_of_a_failure_which_statements_hold() {
    let bench = with_users().await;
    let down = "DROP INDEX CONCURRENTLY users_plan;\nALTER TABLE users DROP plan;";
    let one = migration("001_plan", &[PLAN[0], ("down.sql", down)]);
    applied(bench.migrate(&one).await);
    bench.execute("CREATE VIEW paying AS SELECT id FROM users WHERE plan <> 'free'").await;
    let Outcome::Failed { error, report: Some(StepReport::RolledBack(report)) } = bench.roll_back(&one).await
    else {
        panic!("it failed with a report");
    };
    assert_eq!(error.sqlstate.as_deref(), Some("2BP01"));
    assert_eq!((report.done, report.takes.len()), (vec![0], 2));
    // The cause is removed: it goes on where it stopped.
    bench.execute("DROP VIEW paying").await;
    let report = rolled_back(bench.roll_back(&one).await);
    assert_eq!(
        report.takes.iter().map(|t| t.object.as_str()).collect::<Vec<_>>(),
        ["index users_plan", "column users.plan"]
    );
    assert_eq!(report.takes[1].held.as_ref().unwrap().rows, 400);
    assert!(report.done.is_empty());
    bench.assert_clean().await;
}

#[tokio::test]
async fn what_a_person_took_back_by_hand_is_looked_at_and_booked() {
    let bench = with_users().await;
    let one =
        migration("001_plan", &[PLAN[0], ("down.sql", "DROP TABLE nowhere; ALTER TABLE users DROP plan;")]);
    applied(bench.migrate(&one).await);
    failure(bench.roll_back(&one).await);
    // It is not as they say.
    let error = failure(bench.roll_back_by_hand(&one, "ada").await);
    assert_eq!((error.class, error.effect), (ErrorClass::Check, Effect::None));
    assert!(
        error.message.contains("ada says that 001_plan was taken back by hand, and this is still there"),
        "{}",
        error.message
    );
    for left in ["column users.plan", "index users.users_plan"] {
        assert!(error.message.contains(left), "{}", error.message);
    }
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration").await, "1");

    bench.execute("ALTER TABLE users DROP plan").await;
    let report = rolled_back(bench.roll_back_by_hand(&one, "ada").await);
    assert_eq!((report.schema_restored, report.statements), (Some(true), 0));
    assert_eq!(bench.value("SELECT count(*) FROM stopover.migration").await, "0");
    assert_eq!(
        bench.value("SELECT string_agg(what, ',' ORDER BY id) FROM stopover.history").await,
        "applied,rolled back"
    );
    bench.assert_clean().await;
}
