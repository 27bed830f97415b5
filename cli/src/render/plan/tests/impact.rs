use stopover_model::impact::{LockMode, LockTaken, ScriptImpact, StatementImpact, Work, WorkKind};

use super::*;

/// The standard script's lines, in the databases that are given with what its first statement does there.
fn first_statement(impacts: &[StatementImpact]) -> String {
    let mut answer = answer(target(0, inspection(0)));
    let one = |(n, impact): (usize, &StatementImpact)| {
        let mut found = inspection(0);
        let statements = vec![impact.clone()];
        found.impacts =
            vec![ScriptImpact { migration: migration_id(), variant: Variant::Standard, statements }];
        let mut target = target(0, found);
        target.database = format!("db{n}").parse().unwrap();
        target
    };
    answer.stages.truncate(1);
    answer.stages[0].targets = impacts.iter().enumerate().map(one).collect();
    let all = shown(&answer);
    let script = &all[all.find("up.sql: 5").unwrap()..];
    let (before, after) = (script.find("    10  ").unwrap(), script.find("    14  ").unwrap());
    script[before..after].to_owned()
}

fn rewrite(rows: u64) -> StatementImpact {
    let users = || "public.users".to_owned();
    StatementImpact {
        locks: vec![LockTaken { relation: users(), mode: LockMode::AccessExclusive, why: None }],
        work: vec![Work { kind: WorkKind::Rewrite, relation: users(), rows, bytes: rows * 250 }],
        notes: vec!["gen_random_uuid() may differ from row to row".into()],
        ..StatementImpact::default()
    }
}

#[test]
fn sizes_that_differ_stand_beside_their_databases_and_the_rest_is_said_once() {
    insta::assert_snapshot!(first_statement(&[rewrite(300_000)]), @r#"
    10  ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN…
          ACCESS EXCLUSIVE on users: blocks reads and writes; writes it anew
            (300,000 rows, 75 MB)
          gen_random_uuid() may differ from row to row
    "#);
    insta::assert_snapshot!(first_statement(&[rewrite(5), rewrite(5)]), @r#"
    10  ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN…
          ACCESS EXCLUSIVE on users: blocks reads and writes; writes it anew (5
            rows, 1.2 kB)
          gen_random_uuid() may differ from row to row
    "#);
    insta::assert_snapshot!(first_statement(&[rewrite(5), rewrite(300_000)]), @r#"
    10  ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN…
          ACCESS EXCLUSIVE on users: blocks reads and writes; writes it anew
            (staging/db0: 5 rows, 1.2 kB; staging/db1: 300,000 rows, 75 MB)
          gen_random_uuid() may differ from row to row
    "#);
    insta::assert_snapshot!(first_statement(&[rewrite(5), rewrite(6), rewrite(7), rewrite(8)]), @r#"
    10  ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN…
          ACCESS EXCLUSIVE on users: blocks reads and writes; writes it anew (up
            to 8 rows, 2.0 kB, in staging/db3)
          gen_random_uuid() may differ from row to row
    "#);
    insta::assert_snapshot!(first_statement(&[rewrite(5), StatementImpact::default()]), @r#"
    10  ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN…
          ACCESS EXCLUSIVE on users: blocks reads and writes; writes it anew (5
            rows, 1.2 kB), in staging/db0
          gen_random_uuid() may differ from row to row, in staging/db0
    "#);
}

#[test]
fn partitions_are_counted() {
    let lock = |relation: &str, why: Option<&str>| LockTaken {
        relation: relation.into(),
        mode: LockMode::Share,
        why: why.map(str::to_owned),
    };
    let work =
        |relation: &str| Work { kind: WorkKind::BuildIndex, relation: relation.into(), rows: 7, bytes: 8192 };
    let impact = StatementImpact {
        locks: vec![
            lock("public.events", None),
            lock("public.events_1", Some("a partition of public.events")),
            lock("public.events_2", Some("a partition of public.events")),
            lock("app.users", Some("referenced by events_user")),
        ],
        work: vec![work("public.events_1"), work("public.events_2")],
        ..StatementImpact::default()
    };
    insta::assert_snapshot!(first_statement(&[impact]), @r#"
    10  ALTER TABLE users ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN…
          SHARE on events and 2 partitions: blocks writes; builds an index over
            it (14 rows, 16 kB)
          SHARE on app.users, referenced by events_user: blocks writes
    "#);
}
