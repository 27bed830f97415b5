//! What is said of counters, with time as an argument.

use std::time::Duration;

use jiff::Timestamp;

use super::*;

const DAY: i64 = 86_400;

/// At that second; a table that was scanned so often, and ten times as often by its index.
pub(crate) fn metrics(second: i64, scans: u64) -> Metrics {
    let at = |second| Timestamp::from_second(1_700_000_000 + second).unwrap();
    Metrics {
        at: at(second),
        since: Some(at(-10 * DAY)),
        since_of_server: false,
        tables: vec![TableMetrics {
            oid: 7,
            table: "public.users".into(),
            bytes: 80_000_000,
            rows: 300_000,
            dead_rows: 10,
            seq_scans: scans,
            indexes: vec![IndexMetrics {
                index: "public.users_pkey".into(),
                bytes: 8_000_000,
                scans: scans * 10,
            }],
        }],
        statements: vec![StatementMetrics { id: -5, calls: scans, took: Duration::from_millis(scans * 2) }],
        statements_since: None,
        statements_note: None,
        connections: 20,
        deadlocks: 0,
        temp_bytes: 0,
    }
}

/// 14,400 scans in ten days are one a minute.
fn before() -> Metrics {
    metrics(0, 14_400)
}

fn compared(end: &Metrics, limits: &BaselineLimits) -> Comparison {
    Comparison::of(&before(), &metrics(600, 14_500), end, limits)
}

fn of<'a>(comparison: &'a Comparison, name: &str) -> &'a Compared {
    comparison.figures.iter().find(|f| f.figure.to_string() == name).unwrap_or_else(|| panic!("{name}"))
}

#[test]
fn rates_before_are_since_the_counters_began_and_those_of_the_soak_from_its_beginning() {
    let limits = BaselineLimits { seq_scans: Some("3x".parse().unwrap()), ..BaselineLimits::default() };
    // What the migration itself did between the inspection and the soak is in neither.
    let calm = compared(&metrics(600 + DAY, 14_500 + 2 * 1_440), &limits);
    assert_eq!(calm.before, Some(Duration::from_hours(240)));
    assert_eq!(calm.during, Duration::from_hours(24));
    let scans = of(&calm, "sequential scans of users");
    assert_eq!((scans.before, scans.during, scans.exceeds()), (Some(1.0), Some(2.0), false));
    assert_eq!(scans.to_string(), "sequential scans of users: 2.0/min, 1.0/min before (2.0x)");
    let busy = compared(&metrics(600 + DAY, 14_500 + 40 * 1_440), &limits);
    let exceeding: Vec<String> = busy.exceeding().map(ToString::to_string).collect();
    assert_eq!(exceeding, ["sequential scans of users: 40/min, 1.0/min before (40x)"]);
}

#[test]
fn counters_that_began_anew_say_nothing() {
    let limits = BaselineLimits { seq_scans: Some("1x".parse().unwrap()), ..BaselineLimits::default() };
    let reset = Metrics { since: Some(metrics(DAY, 0).at), ..metrics(2 * DAY, 1_000_000) };
    let found = compared(&reset, &limits);
    assert_eq!(of(&found, "sequential scans of users").during, None);
    assert_eq!(found.exceeding().count(), 0);
    assert!(found.notes.iter().any(|n| n.contains("reset in the soak")), "{:?}", found.notes);
    // A crash drops them, and the server has no word on it.
    assert_eq!(of(&compared(&metrics(DAY, 3), &limits), "sequential scans of users").during, None);
}

#[test]
fn where_it_is_not_known_since_when_is_counted_nothing_is_said_of_rates_before() {
    let unknown = Metrics { since: None, ..before() };
    let found = Comparison::of(
        &unknown,
        &Metrics { since: None, ..metrics(600, 14_500) },
        &Metrics { since: None, ..metrics(600 + DAY, 90_000) },
        &BaselineLimits::default(),
    );
    let scans = of(&found, "sequential scans of users");
    assert_eq!((scans.before, scans.during.is_some()), (None, true));
    assert!(scans.to_string().ends_with("nothing known of before"), "{scans}");
    assert!(found.notes[0].contains("is not known"), "{:?}", found.notes);
}

#[test]
fn little_is_never_too_much() {
    let limits = BaselineLimits {
        seq_scans: Some("2x".parse().unwrap()),
        dead_rows: Some("2x".parse().unwrap()),
        mean_time: Some("2x".parse().unwrap()),
        ..BaselineLimits::default()
    };
    let idle = Comparison::of(
        &metrics(0, 1),
        &metrics(600, 1),
        &Metrics {
            tables: vec![TableMetrics { dead_rows: 900, ..metrics(0, 900).tables.remove(0) }],
            ..metrics(600 + DAY, 900)
        },
        &limits,
    );
    // 900 scans a day are 100 times what there was, and nobody notices.
    assert_eq!(idle.exceeding().count(), 0, "{:?}", idle.figures);
}

#[test]
fn statements_are_compared_by_their_mean_and_new_ones_are_shown() {
    let slower = |id, calls, ms| StatementMetrics { id, calls, took: Duration::from_millis(ms) };
    let end = Metrics {
        statements: vec![slower(-5, 14_500 + 100, 29_000 + 1_000), slower(9, 50, 500)],
        ..metrics(600 + DAY, 20_000)
    };
    let limits = BaselineLimits { mean_time: Some("4x".parse().unwrap()), ..BaselineLimits::default() };
    let found = compared(&end, &limits);
    let slow = of(&found, "mean time of statement -5");
    assert_eq!((slow.before, slow.during, slow.exceeds()), (Some(2.0), Some(10.0), true));
    let new = of(&found, "mean time of statement 9");
    assert_eq!((new.before, new.during, new.exceeds()), (None, Some(10.0), false));
    // Of few calls nothing follows.
    let few = Metrics { statements: vec![slower(-5, 14_500 + 3, 29_000 + 3_000)], ..end };
    assert_eq!(compared(&few, &limits).exceeding().count(), 0);
}

#[test]
fn an_index_that_nobody_uses_any_more_is_worth_a_look_and_a_new_one_is_told() {
    let mut end = metrics(600 + DAY, 14_500);
    end.tables[0].indexes.push(IndexMetrics { index: "public.new".into(), bytes: 1, scans: 1_440 });
    let found = compared(&end, &BaselineLimits::default());
    assert_eq!(
        compared(&metrics(660, 14_500), &BaselineLimits::default()).outstanding().count(),
        0,
        "a minute"
    );
    let outstanding: Vec<String> = found.outstanding().map(ToString::to_string).collect();
    assert_eq!(outstanding, ["scans of users_pkey: 0/min, 10/min before"]);
    assert_eq!(of(&found, "scans of new").before, None);
}

#[test]
fn a_table_is_known_by_its_oid_and_one_that_is_gone_is_told() {
    let mut end = metrics(600 + DAY, 14_500);
    end.tables[0].table = "public.people".into();
    let found = compared(&end, &BaselineLimits::default());
    assert!(of(&found, "size of people").before.is_some(), "renamed, and the same");
    end.tables.clear();
    let found = compared(&end, &BaselineLimits::default());
    assert!(found.notes.contains(&"public.users is there no longer".to_owned()), "{:?}", found.notes);
}
