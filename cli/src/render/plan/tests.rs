use std::time::Duration;

use stopover_model::deployment::Deployment;
use stopover_model::pipeline::{DriftSettings, OutOfOrder};
use stopover_model::plan::{Known, Measured};
use stopover_model::report::{ErrorClass, ExistingObject, Session, StepError, TableLock};

use super::super::line::text;
use super::super::sample::{inspection, migration, migration_id, pipeline, view};
use super::*;
use crate::answer::LintAnswer;

mod findings;
pub(super) mod fleet;
mod impact;

fn target(stage: u32, inspection: Inspection) -> TargetAnswer {
    let id = migration_id();
    let measured =
        [Measured { environment: "staging", migration: &id, rows: 20_000, took: Duration::from_millis(400) }];
    let runs = if stage == 0 { Vec::new() } else { measured.to_vec() };
    let known = Known { runs, ..Known::default() };
    let database = "app".parse().unwrap();
    let result = match TargetPlan::make(
        &database,
        &[migration()],
        &inspection,
        &known,
        OutOfOrder::Refuse,
        &DriftSettings::default(),
    ) {
        Ok(plan) => PlanResult::Plan(plan),
        Err(error) => PlanResult::Refused(error),
    };
    TargetAnswer { database, inspection: Some(inspection), result, lint_refusal: None }
}

fn answer(production: TargetAnswer) -> PlanAnswer {
    let stage = |name: &str, target| StagePlan {
        environment: name.parse().unwrap(),
        unavailable: None,
        targets: vec![target],
    };
    PlanAnswer {
        digest: Deployment::digest_of(&pipeline(), &[migration()]),
        pipeline: pipeline(),
        migrations: vec![migration()],
        stages: vec![stage("staging", target(0, inspection(0))), stage("production", production)],
        lint: LintAnswer::default(),
    }
}

fn shown(answer: &PlanAnswer) -> String {
    let lines = lines(answer, view());
    assert!(lines.iter().all(|l| l.width() <= 80), "wider than 80 columns:\n{}", text(&lines));
    text(&lines)
}

/// Only what differs from stage to stage.
fn stages(answer: &PlanAnswer) -> String {
    let all = shown(answer);
    all[..all.find("\n001_add_onboarding_completed/").unwrap_or(all.len())].to_owned()
}

#[test]
fn the_guides_migration() {
    insta::assert_snapshot!(shown(&answer(target(1, inspection(1)))), @r#"
    001_add_onboarding_completed  Sign-in can send people who have not finished onb…

    1. staging
       app
         found   PostgreSQL 15.18, database app of 6.0 MB
                 table users: 20,000 rows, 5.1 MB with its indexes
                 no long transaction and no strong lock is in the way
         runs    up.sql: users has 20,000 rows, fewer than 100,000
         takes   not known: statement 2 goes through about 20,000 rows of
                 public.users: nothing of the kind was measured here, and it could
                 not be tried on a sample
         backup  recorded, before the first statement
         locks   waited for 100ms (CONCURRENTLY for 10m), then others go first
                 tried again for 10m; not beside a dump or a transaction over 5m
         fails   then everything pauses for a person
         rests   10s under observation

    2. production
       app
         found   PostgreSQL 15.18, database app of 90 MB
                 table users: 300,000 rows, 76 MB with its indexes
                 no long transaction and no strong lock is in the way
         runs    up.batch.sql: users has 300,000 rows, from 100,000 on the batched
                 script runs
         takes   about 6.0 s: 20,000 rows took 400 ms in staging
         backup  decoded, before the first statement
         locks   waited for 100ms (CONCURRENTLY for 10m), then others go first
                 tried again for 10m; not beside a dump or a transaction over 5m
         fails   then this stage is rolled back

    001_add_onboarding_completed/up.sql: 5 statements, in one transaction
      staging/app
        10  ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN…
              ACCESS EXCLUSIVE on users: blocks reads and writes
              the lock on users is held until the transaction ends, while line 14
                changes rows of users
        14  UPDATE users SET onboarding_completed = true WHERE onboarding_completed…
              changes rows of users (20,000 rows, 4.0 MB)
              fires audit_users for each row of users
        16  CREATE INDEX IF NOT EXISTS idx_users_onboarding_completed ON users (onb…
              SHARE on users: blocks writes; builds an index over it (20,000 rows,
                4.0 MB)
        18  COMMENT ON COLUMN users.onboarding_completed IS 'Whether this person ha…
        21  ANALYZE users

    001_add_onboarding_completed/up.batch.sql: 5 statements, each on its own
      production/app
         5  ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN…
              ACCESS EXCLUSIVE on users: blocks reads and writes
         9  DO $$ DECLARE batch_size CONSTANT BIGINT := 10000; next_id BIGINT; last…
            alone: the DO block commits by itself
        37  CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_users_onboarding_completed …
            alone: CREATE INDEX CONCURRENTLY commits between its phases, so that it
                   never blocks readers and writers for long
              SHARE UPDATE EXCLUSIVE on users: blocks neither reads nor writes;
                builds an index over it (300,000 rows, 60 MB)
        39  COMMENT ON COLUMN users.onboarding_completed IS 'Whether this person ha…
        42  ANALYZE users

    verified after it
      - the column is a boolean that begins as false: one row with column_default =
        'false', data_type = 'boolean'
      - every existing user is complete: 0
      - nobody from before today was sent back to onboarding: one row with sent_back
        = 0
      - the index is there, and valid: true
      - the index serves the sign-in query: served by the index
        idx_users_onboarding_completed

    watched during the soak
      - nobody is stuck in onboarding for over 24 hours: 0, every 10m

    to be asked later
      - after 3s: the column has the default that sign-in counts on: 'false'
      - after 1d: new users begin in onboarding
      - after 1d: nobody is stuck in onboarding: 0
      - after 7d: how many new users complete onboarding, day by day
      - after 7d: the index is used
      - after 7d: no user is without a value: 0

    001_add_onboarding_completed/down.sql: 2 statements, in one transaction
      only to roll back
         5  DROP INDEX IF EXISTS idx_users_onboarding_completed
         7  ALTER TABLE users DROP COLUMN IF EXISTS onboarding_completed

    digest  9d50774b9b3bcbe6bf69bf367037bf540e9ab89f837b46199328c2c778a50600
    "#);
}

#[test]
fn what_is_in_the_way_is_shown_with_who_it_is() {
    let holder = Session {
        pid: 4711,
        user: "alice".into(),
        application: String::new(),
        state: "idle in transaction".into(),
        transaction_age: Duration::from_secs(3_700),
        query_age: Duration::ZERO,
        query: None,
    };
    let mut busy = inspection(1);
    busy.locks.push(TableLock {
        table: "users".into(),
        mode: "ShareLock".into(),
        granted: true,
        holder: holder.clone(),
    });
    busy.long_running.push(holder);
    busy.warnings.push("plpgsql does not load: its library was upgraded under the running server".into());
    busy.existing.push(ExistingObject {
        migration: migration_id(),
        object: "column users.onboarding_completed (boolean)".into(),
    });
    insta::assert_snapshot!(stages(&answer(target(1, busy))), @r#"
    001_add_onboarding_completed  Sign-in can send people who have not finished onb…

    1. staging
       app
         found   PostgreSQL 15.18, database app of 6.0 MB
                 table users: 20,000 rows, 5.1 MB with its indexes
                 no long transaction and no strong lock is in the way
         runs    up.sql: users has 20,000 rows, fewer than 100,000
         takes   not known: statement 2 goes through about 20,000 rows of
                 public.users: nothing of the kind was measured here, and it could
                 not be tried on a sample
         backup  recorded, before the first statement
         locks   waited for 100ms (CONCURRENTLY for 10m), then others go first
                 tried again for 10m; not beside a dump or a transaction over 5m
         fails   then everything pauses for a person
         rests   10s under observation

    2. production
       app
         found   PostgreSQL 15.18, database app of 90 MB
                 table users: 300,000 rows, 76 MB with its indexes
                 pid 4711 (an application without a name as alice, idle in
                 transaction for 1h 01m) holds ShareLock on users
                 long transaction: pid 4711 (an application without a name as alice,
                 idle in transaction for 1h 01m)
                 already there, not by the ledger: column users.onboarding_completed
                 (boolean)
         runs    up.batch.sql: users has 300,000 rows, from 100,000 on the batched
                 script runs
         takes   about 6.0 s: 20,000 rows took 400 ms in staging
         warning plpgsql does not load: its library was upgraded under the running
                 server
         backup  decoded, before the first statement
         locks   waited for 100ms (CONCURRENTLY for 10m), then others go first
                 tried again for 10m; not beside a dump or a transaction over 5m
         fails   then this stage is rolled back
    "#);
}

#[test]
fn a_refusal_and_an_absent_agent_are_told_apart() {
    let mut standby = inspection(1);
    standby.in_recovery = true;
    let mut refused = answer(target(1, standby));
    insta::assert_snapshot!(stages(&refused), @r#"
    001_add_onboarding_completed  Sign-in can send people who have not finished onb…

    1. staging
       app
         found   PostgreSQL 15.18, database app of 6.0 MB
                 table users: 20,000 rows, 5.1 MB with its indexes
                 no long transaction and no strong lock is in the way
         runs    up.sql: users has 20,000 rows, fewer than 100,000
         takes   not known: statement 2 goes through about 20,000 rows of
                 public.users: nothing of the kind was measured here, and it could
                 not be tried on a sample
         backup  recorded, before the first statement
         locks   waited for 100ms (CONCURRENTLY for 10m), then others go first
                 tried again for 10m; not beside a dump or a transaction over 5m
         fails   then everything pauses for a person
         rests   10s under observation

    2. production
       app
         found   PostgreSQL 15.18, database app of 90 MB, a standby
                 table users: 300,000 rows, 76 MB with its indexes
                 no long transaction and no strong lock is in the way
         refused
         error: app is a standby (in recovery), where nothing can be written
         hint: point the agent's url at the primary: add
               target_session_attrs=read-write, or its own host
         backup  decoded, before the first statement
         locks   waited for 100ms (CONCURRENTLY for 10m), then others go first
                 tried again for 10m; not beside a dump or a transaction over 5m
         fails   then this stage is rolled back
    "#);
    assert!(refused.is_refused());

    refused.stages[1] = StagePlan {
        environment: "production".parse().unwrap(),
        unavailable: Some("no agent of production is connected".into()),
        targets: Vec::new(),
    };
    assert!(!refused.is_refused());
    assert!(shown(&refused).contains("incomplete: a deployment would wait"));
}

#[test]
fn a_long_name_and_a_database_that_can_not_be_reached_fit_80_columns() {
    let error = StepError::new(ErrorClass::Transient, "could not connect to ".to_owned() + &"x".repeat(200));
    let mut long = answer(target(1, inspection(1)));
    long.migrations[0].id = "a".repeat(128).parse().unwrap();
    long.stages[1].targets[0] = TargetAnswer {
        database: "d".repeat(63).parse().unwrap(),
        inspection: None,
        result: PlanResult::Refused(error),
        lint_refusal: None,
    };
    shown(&long);
}

#[test]
fn what_is_applied_everywhere_is_not_shown_in_full() {
    let mut done = answer(target(1, inspection(1)));
    assert!(shown(&done).contains("\n001_add_onboarding_completed/up.sql"));
    for n in [0, 1] {
        assert!(shown(&done).contains("/down.sql"), "it is still to come in stage {n}");
        if let PlanResult::Plan(plan) = &mut done.stages[n].targets[0].result {
            plan.migrations[0].action = Action::Skip;
        }
    }
    let text = shown(&done);
    assert!(text.contains("nothing to do") && !text.contains("/down.sql"), "{text}");
}

#[test]
fn json_has_stable_keys() {
    let json = serde_json::to_value(answer(target(1, inspection(1)))).unwrap();
    assert_eq!(json["stages"][1]["targets"][0]["plan"]["migrations"][0]["action"]["variant"], "batched");
    assert_eq!(json["stages"][1]["targets"][0]["inspection"]["tables"][0]["rows"], 300_000);
    assert_eq!(json["digest"].as_str().unwrap().len(), 64);
}
