use stopover_model::event::{Actor, DeploymentOutcome, Event, StageIndex, StageOutcome, Waiting};
use stopover_model::report::{
    Effect, ErrorClass, LogLine, Outcome, RollbackReport, SqlPlace, StepError, StepReport, VerifyReport,
};

use super::super::line::text;
use super::super::sample::{Story, at, check, view};
use super::*;

fn shown(story: &Story) -> String {
    let lines = lines(&story.deployment, view(), Depth::Rows);
    assert!(lines.iter().all(|l| l.width() <= 80), "wider than 80 columns:\n{}", text(&lines));
    text(&lines)
}

fn sql_error() -> StepError {
    let mut error =
        StepError::new(ErrorClass::Sql, "statement 2 of 5 failed: column \"naem\" does not exist");
    error.sqlstate = Some("42703".into());
    error.effect = Effect::Partial;
    error.place = Some(SqlPlace {
        file: "up.batch.sql".into(),
        line: 13,
        column: 18,
        text: "UPDATE users SET naem = 'x';".into(),
    });
    error
}

#[test]
fn a_deployment_at_work() {
    let story = Story::begun().staging_through().backed_up(1).start(1, "migrate");
    insta::assert_snapshot!(shown(&story), @r#"
    4k2m9x0c1d  users-db  by admin  14:00:00 UTC                              1m 40s
      001_add_onboarding_completed  Sign-in can send people who have not finished o…
    ✓ staging  succeeded                                                14:00:14 UTC
      app
        ✓ inspect    PostgreSQL 15.18, users: 20,000 rows, 5.1 MB              1.0 s
        ✓ plan       users has 20,000 rows, fewer than 100,000
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    6.0 MB in a file of 1.5 MB, recorded                      1.2 s
        ✓ migrate    up.sql, 5 statements, 20,000 rows touched                 1.8 s
        ✓ verify     2 checks hold                                             1.0 s
        ✓ monitor    1 check holds                                             1.0 s
        ✓ soak       10 s
    ▸ production  running                                                     1m 25s
      app
        ✓ inspect    PostgreSQL 15.18, users: 300,000 rows, 76 MB              1.0 s
        ✓ plan       users has 300,000 rows, from 100,000 on the batched script runs
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    90 MB in a file of 22 MB, decoded                         1.2 s
        ▸ migrate    001_add_onboarding_completed                             1m 19s
        · verify     001_add_onboarding_completed
    "#);
}

#[test]
fn everything_went_well() {
    let story = Story::begun()
        .staging_through()
        .migrated(1)
        .tell(Event::StageFinished { stage: StageIndex(1), outcome: StageOutcome::Succeeded })
        .tell(Event::Finished { outcome: DeploymentOutcome::Succeeded });
    insta::assert_snapshot!(text(&lines(&story.deployment, view(), Depth::Full)), @r#"
    4k2m9x0c1d  users-db  by admin  14:00:00 UTC                                26 s
      001_add_onboarding_completed  Sign-in can send people who have not finished o…
    ✓ staging  succeeded                                                14:00:14 UTC
      app
        ✓ inspect    PostgreSQL 15.18, users: 20,000 rows, 5.1 MB              1.0 s
        ✓ plan       users has 20,000 rows, fewer than 100,000
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    6.0 MB in a file of 1.5 MB, recorded                      1.2 s
          file     /var/lib/stopover/backups/app-0.dump
          sha256   ec041998eb6055e8c4dbdd20898850ae26255604fbdfcc26ee7f0606e6352fad
          restore  pg_restore --clean --dbname app /var/lib/stopover/backups/app-0.dump
          or       stopover backup restore 9g2k4t8w1x --as NAME
        ✓ migrate    up.sql, 5 statements, 20,000 rows touched                 1.8 s
        ✓ verify     2 checks hold                                             1.0 s
          ✓ every existing user is complete  0
          ✓ every existing user is complete  0
        ✓ monitor    1 check holds                                             1.0 s
          ✓ every existing user is complete  0
        ✓ soak       10 s
    ✓ production  succeeded                                             14:00:25 UTC
      app
        ✓ inspect    PostgreSQL 15.18, users: 300,000 rows, 76 MB              1.0 s
        ✓ plan       users has 300,000 rows, from 100,000 on the batched script runs
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    90 MB in a file of 22 MB, decoded                         1.2 s
          file     /var/lib/stopover/backups/app-1.dump
          sha256   ec041998eb6055e8c4dbdd20898850ae26255604fbdfcc26ee7f0606e6352fad
          restore  pg_restore --clean --dbname app /var/lib/stopover/backups/app-1.dump
          or       stopover backup restore 9g2k4t8w1x --as NAME
        ✓ migrate    up.batch.sql, 5 statements, 300,000 rows touched, waite…  1.8 s
          estimated about 27 s: 20,000 rows took 1.8 s in staging
        ✓ verify     2 checks hold                                             1.0 s
          ✓ every existing user is complete  0
          ✓ every existing user is complete  0
    succeeded at 14:00:26 UTC
    "#);
}

#[test]
fn a_failed_statement_shows_its_sql_and_waits_for_a_person() {
    let cause = "the migration 001_add_onboarding_completed in app failed: column \"naem\" does not exist";
    let story = Story::begun()
        .backed_up(0)
        .start(0, "migrate")
        .finish(0, "migrate", Outcome::Failed { error: sql_error(), report: None })
        .tell(Event::Paused { cause: cause.into(), by: Actor::Pipeline })
        .tell(Event::WaitingChanged { waiting: Some(Waiting::Person { cause: cause.into() }) });
    insta::assert_snapshot!(shown(&story), @r#"
    4k2m9x0c1d  users-db  by admin  14:00:00 UTC                              1m 40s
      001_add_onboarding_completed  Sign-in can send people who have not finished o…
    ▸ staging  held for a person                                              1m 39s
      app
        ✓ inspect    PostgreSQL 15.18, users: 20,000 rows, 5.1 MB              1.0 s
        ✓ plan       users has 20,000 rows, fewer than 100,000
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    6.0 MB in a file of 1.5 MB, recorded                      1.2 s
        ✗ migrate    failed                                                    1.0 s
          error: statement 2 of 5 failed: column "naem" does not exist (SQLSTATE
                 42703)
            --> up.batch.sql:13:18
          13 | UPDATE users SET naem = 'x';
             |                  ^
          Some of its statements took effect; nothing takes them back by itself.
        · verify     001_add_onboarding_completed
        · monitor    001_add_onboarding_completed
        · soak       10 s
    · production  to come
    waits since 14:00:10 UTC for a person: the migration
      001_add_onboarding_completed in app failed: column "naem" does not exist
      → stopover resume 4k2m9x0c1d tries again, with the same files
      → stopover rollback 4k2m9x0c1d --plan shows what taking staging back would
        lose
      → stopover rollback 4k2m9x0c1d takes staging back: better where it can't be
        mended at once, where errors rise, a user flow breaks, or queries slow down
      → ask #db-oncall
      → stopover cancel 4k2m9x0c1d stops here and leaves what was applied
    "#);
}

#[test]
fn an_unknown_outcome_is_shown_as_such_with_the_way_to_resolve_it() {
    let error = StepError::new(ErrorClass::Transient, "the connection was lost at COMMIT")
        .with_effect(Effect::Possible);
    let cause = "the migration in app failed: its outcome is UNKNOWN: the connection was lost at COMMIT";
    let story = Story::begun()
        .backed_up(0)
        .start(0, "migrate")
        .finish(0, "migrate", Outcome::Unknown { error })
        .tell(Event::Paused { cause: cause.into(), by: Actor::Pipeline })
        .tell(Event::WaitingChanged { waiting: Some(Waiting::Person { cause: cause.into() }) });
    insta::assert_snapshot!(shown(&story), @r#"
    4k2m9x0c1d  users-db  by admin  14:00:00 UTC                              1m 40s
      001_add_onboarding_completed  Sign-in can send people who have not finished o…
    ▸ staging  held for a person                                              1m 39s
      app
        ✓ inspect    PostgreSQL 15.18, users: 20,000 rows, 5.1 MB              1.0 s
        ✓ plan       users has 20,000 rows, fewer than 100,000
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    6.0 MB in a file of 1.5 MB, recorded                      1.2 s
        ? migrate    its outcome is UNKNOWN                                    1.0 s
          error: the connection was lost at COMMIT
          It may have taken effect: nobody knows until somebody looks.
        · verify     001_add_onboarding_completed
        · monitor    001_add_onboarding_completed
        · soak       10 s
    · production  to come
    waits since 14:00:10 UTC for a person: the migration in app failed: its outcome
      is UNKNOWN: the connection was lost at COMMIT
      → look at the database: is the change there?
      → stopover resolve 4k2m9x0c1d --applied, or stopover resolve 4k2m9x0c1d
        --not-applied
      → ask #db-oncall
      → stopover cancel 4k2m9x0c1d stops here and leaves what was applied
    "#);
}

#[test]
fn a_soak_says_until_when() {
    let story = Story::begun()
        .migrated(0)
        .tell(Event::SoakStarted { stage: StageIndex(0), until: at(160) })
        .done(0, "monitor", StepReport::Verified(VerifyReport { checks: vec![check(true)] }))
        .tell(Event::WaitingChanged {
            waiting: Some(Waiting::Soak {
                environment: "staging".parse().unwrap(),
                until: at(160),
                held: Vec::new(),
            }),
        });
    insta::assert_snapshot!(shown(&story), @r#"
    4k2m9x0c1d  users-db  by admin  14:00:00 UTC                              1m 40s
      001_add_onboarding_completed  Sign-in can send people who have not finished o…
    ▸ staging  under observation                                              1m 29s
      app
        ✓ inspect    PostgreSQL 15.18, users: 20,000 rows, 5.1 MB              1.0 s
        ✓ plan       users has 20,000 rows, fewer than 100,000
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    6.0 MB in a file of 1.5 MB, recorded                      1.2 s
        ✓ migrate    up.sql, 5 statements, 20,000 rows touched                 1.8 s
        ✓ verify     2 checks hold                                             1.0 s
        ✓ monitor    1 check holds                                             1.0 s
        ▸ soak       until 14:02:40 UTC                                  1m 00s left
    · production  to come
    waits since 14:00:14 UTC in staging under observation until 14:02:40 UTC (in 1m
      00s)
      → should errors rise, a user flow break or queries slow down: stopover
        rollback 4k2m9x0c1d --plan, then stopover rollback 4k2m9x0c1d
    "#);
}

#[test]
fn a_failed_verification_rolls_back() {
    let report = StepReport::Verified(VerifyReport { checks: vec![check(true), check(false)] });
    let error = StepError::new(ErrorClass::Check, "1 of 2 checks does not hold").with_effect(Effect::Partial);
    let story = Story::begun()
        .staging_through()
        .backed_up(1)
        .done(1, "migrate", StepReport::Migrated(super::super::sample::migrate(1)))
        .start(1, "verify")
        .finish(1, "verify", Outcome::Failed { error, report: Some(report) })
        .tell(Event::RollbackStarted {
            stage: StageIndex(1),
            cause: "the verification of 001_add_onboarding_completed in app failed".into(),
            by: Actor::Pipeline,
            to: None,
        });
    insta::assert_snapshot!(shown(&story), @r#"
    4k2m9x0c1d  users-db  by admin  14:00:00 UTC                              1m 40s
      001_add_onboarding_completed  Sign-in can send people who have not finished o…
    ✓ staging  succeeded                                                14:00:14 UTC
      app
        ✓ inspect    PostgreSQL 15.18, users: 20,000 rows, 5.1 MB              1.0 s
        ✓ plan       users has 20,000 rows, fewer than 100,000
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    6.0 MB in a file of 1.5 MB, recorded                      1.2 s
        ✓ migrate    up.sql, 5 statements, 20,000 rows touched                 1.8 s
        ✓ verify     2 checks hold                                             1.0 s
        ✓ monitor    1 check holds                                             1.0 s
        ✓ soak       10 s
    ◂ production  rolling back, by the pipeline's on_failure                  1m 15s
      app
        ✓ inspect    PostgreSQL 15.18, users: 300,000 rows, 76 MB              1.0 s
        ✓ plan       users has 300,000 rows, from 100,000 on the batched script runs
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    90 MB in a file of 22 MB, decoded                         1.2 s
        ✓ migrate    up.batch.sql, 5 statements, 300,000 rows touched, waite…  1.8 s
          estimated about 27 s: 20,000 rows took 1.8 s in staging
        ✗ verify     1 of 2 checks does not hold                               1.0 s
          ✗ every existing user is complete
              expected  0
              observed  17
          error: 1 of 2 checks does not hold
          Some of its statements took effect; nothing takes them back by itself.
        · back up    before anything is taken back
        · roll back  001_add_onboarding_completed
    "#);
    let undone = RollbackReport {
        nothing_to_do: false,
        statements: 2,
        took: std::time::Duration::from_millis(40),
        schema_restored: Some(false),
        differences: vec!["index users.idx_other is missing".into()],
        takes: Vec::new(),
        done: Vec::new(),
    };
    let story = story
        .done(1, "rollback backup", StepReport::BackedUp(super::super::sample::backup(1)))
        .done(1, "rollback", StepReport::RolledBack(undone))
        .tell(Event::StageFinished { stage: StageIndex(1), outcome: StageOutcome::RolledBack })
        .tell(Event::Finished { outcome: DeploymentOutcome::RolledBack });
    insta::assert_snapshot!(shown(&story), @r#"
    4k2m9x0c1d  users-db  by admin  14:00:00 UTC                                31 s
      001_add_onboarding_completed  Sign-in can send people who have not finished o…
    ✓ staging  succeeded                                                14:00:14 UTC
      app
        ✓ inspect    PostgreSQL 15.18, users: 20,000 rows, 5.1 MB              1.0 s
        ✓ plan       users has 20,000 rows, fewer than 100,000
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    6.0 MB in a file of 1.5 MB, recorded                      1.2 s
        ✓ migrate    up.sql, 5 statements, 20,000 rows touched                 1.8 s
        ✓ verify     2 checks hold                                             1.0 s
        ✓ monitor    1 check holds                                             1.0 s
        ✓ soak       10 s
    ◂ production  rolled back                                           14:00:30 UTC
      app
        ✓ inspect    PostgreSQL 15.18, users: 300,000 rows, 76 MB              1.0 s
        ✓ plan       users has 300,000 rows, from 100,000 on the batched script runs
                     strongest lock ACCESS EXCLUSIVE on users
        ✓ back up    90 MB in a file of 22 MB, decoded                         1.2 s
        ✓ migrate    up.batch.sql, 5 statements, 300,000 rows touched, waite…  1.8 s
          estimated about 27 s: 20,000 rows took 1.8 s in staging
        ✗ verify     1 of 2 checks does not hold                               1.0 s
          ✗ every existing user is complete
              expected  0
              observed  17
          error: 1 of 2 checks does not hold
          Some of its statements took effect; nothing takes them back by itself.
        ✓ back up    90 MB in a file of 22 MB, decoded                         1.2 s
        ✓ roll back  2 statements, the schema is not as it was: 1 difference   40 ms
          ≠ index users.idx_other is missing
    rolled back at 14:00:31 UTC
      → find the cause: the verification of 001_add_onboarding_completed in app
        failed
      → take back the code in production that needs what is gone, where it is
        deployed
      → mend it: the same content is not applied there again without stopover deploy
        --again
      → then stopover plan and stopover deploy: it begins in staging again
    "#);
}

#[test]
fn hostile_texts_and_narrow_terminals_break_nothing() {
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}".repeat(20);
    let error = StepError::new(ErrorClass::Sql, &evil).with_hint(&evil);
    let story = Story::begun()
        .backed_up(0)
        .start(0, "migrate")
        .log(0, "migrate", 1, LogLine::Message { text: evil.clone() })
        .finish(0, "migrate", Outcome::Failed { error, report: None });
    for width in [20, 33, 40, 80, 200] {
        let shown = lines(&story.deployment, View { now: at(100), width }, Depth::Rows);
        assert!(!text(&shown).contains(['\u{1b}', '\u{7}']), "an escape sequence came through");
        for line in &shown {
            assert!(line.width() <= width.max(26), "{width} columns, but: {}", line.paint(false));
        }
    }
}
