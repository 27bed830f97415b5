//! A plan of many databases, for people and as Markdown.

use super::super::markdown;
use super::*;

pub(in crate::render::plan) fn tenant(n: usize) -> TargetAnswer {
    let database: stopover_model::id::DatabaseName = format!("tenant-{n:03}").parse().unwrap();
    // One is a standby.
    let found = Inspection { database: database.to_string(), in_recovery: n == 23, ..inspection(0) };
    TargetAnswer { database, ..target(0, found) }
}

/// In production alone.
fn fleet(targets: Vec<TargetAnswer>) -> PlanAnswer {
    let mut answer = answer(target(1, inspection(1)));
    answer.stages.remove(0);
    answer.stages[0].targets = targets;
    answer
}

#[test]
fn those_alike_are_shown_once_and_those_that_differ_by_name() {
    let mut targets: Vec<_> = (0..30).map(tenant).collect();
    // Larger, and all else the same.
    targets[7].inspection.as_mut().unwrap().database_bytes *= 3;
    // Another has a table that the others have not; two are of another version.
    let more = ExistingObject { migration: migration_id(), object: "index users_x".into() };
    targets[11].inspection.as_mut().unwrap().existing.push(more);
    for n in [3, 4] {
        targets[n].inspection.as_mut().unwrap().server_version = "16.2".into();
    }
    let shown = shown(&fleet(targets));
    for words in [
        "   26 databases alike, ",
        "     tenant-000, tenant-001, tenant-002, tenant-005, tenant-006, tenant-007,",
        "tenant-014 and\n     14 more\n",
        "     such as tenant-007, whose figures these are",
        "   tenant-003\n",
        "   tenant-004\n",
        "   tenant-011\n",
        "database tenant-023 of 6.0 MB, a standby\n",
        "  29 databases of production\n",
    ] {
        assert!(shown.contains(words), "{words:?} is missing in\n{shown}");
    }
    assert!(shown.lines().count() < 100, "{shown}");
}

#[test]
fn two_alike_are_shown_each() {
    let shown = shown(&fleet(vec![tenant(1), tenant(2)]));
    assert!(shown.contains("   tenant-001\n") && shown.contains("   tenant-002\n"), "{shown}");
    assert!(!shown.contains("alike") && shown.contains("  production/tenant-001, production/tenant-002\n"));
}

#[test]
fn those_that_are_refused_come_first_and_the_table_stays_short() {
    let answer = fleet((0..30).map(tenant).collect());
    let comment = markdown(&answer, view());
    let table = comment.split("<details>").next().unwrap();
    insta::assert_snapshot!(table, @r#"
    ### Plan of `001_add_onboarding_completed`

    Through the pipeline `users-db`: **refused**: see below.

    | environment | database | what happens |
    |---|---|---|
    | production | tenant-023 | **refused**: app is a standby (in recovery), where nothing can be written |
    | production | 29 databases: tenant-000, tenant-001, tenant-002, tenant-003, tenant-004, tenant-005, tenant-006, tenant-007, tenant-008, tenant-009, tenant-010, tenant-011 and 17 more | `up.sql` of `001_add_onboarding_completed`: users has 20,000 rows, fewer than 100,000 |
    "#);
}
