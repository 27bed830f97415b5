//! A plan of many databases as Markdown.

use super::super::markdown;
use super::*;

fn tenant(n: usize) -> TargetAnswer {
    let database: stopover_model::id::DatabaseName = format!("tenant-{n:03}").parse().unwrap();
    // One is a standby.
    let found = Inspection { database: database.to_string(), in_recovery: n == 23, ..inspection(0) };
    TargetAnswer { database, ..target(0, found) }
}

#[test]
fn those_that_are_refused_come_first_and_the_table_stays_short() {
    let mut answer = answer(target(1, inspection(1)));
    answer.stages.remove(0);
    answer.stages[0].targets = (0..30).map(tenant).collect();
    let comment = markdown(&answer, view());
    let table = comment.split("<details>").next().unwrap();
    insta::assert_snapshot!(table, @r#"
    ### Plan of `001_add_onboarding_completed`

    Through the pipeline `users-db`: **refused**: see below.

    | environment | database | what happens |
    |---|---|---|
    | production | tenant-023 | **refused**: app is a standby (in recovery), where nothing can be written |
    | production | tenant-000 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-001 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-002 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-003 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-004 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-005 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-006 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-007 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-008 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-009 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-010 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-011 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-012 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-013 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-014 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-015 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-016 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-017 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | tenant-018 | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    | production | and 10 more | see the whole plan |
    "#);
}
