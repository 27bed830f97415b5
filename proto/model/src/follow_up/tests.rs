use super::*;
use crate::migration::Again;

const DAY: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn scheduled(after: i64, until: Option<i64>) -> Scheduled {
    let of = |seconds: i64| Duration::from_secs(seconds.unsigned_abs());
    Scheduled {
        key: FollowUpKey {
            deployment: DeploymentId::from_random(1),
            environment: "production".parse().unwrap(),
            database: "users".parse().unwrap(),
            migration: "001_x".parse().unwrap(),
            name: "the index is used".into(),
        },
        digest: Digest::from_bytes([1; 32]),
        follow_up: FollowUp {
            name: "the index is used".into(),
            after: of(after),
            again: until.map(|until| Again { every: of(after), until: of(until) }),
            sql: "SELECT 1".into(),
            expect: None,
        },
        since: at(0),
        system_identifier: "7".into(),
        runs: Vec::new(),
        held: None,
        acknowledged: None,
        cancelled: None,
    }
}

fn seen(passed: bool) -> Seen {
    Seen { passed, expected: "at least 1".into(), observed: if passed { "7" } else { "0" }.into() }
}

#[test]
fn one_after_a_week_runs_once_then() {
    let mut week = scheduled(7 * DAY, None);
    assert_eq!(week.state(), FollowUpState::Waits { due: at(7 * DAY) });
    week.record(seen(true), at(7 * DAY - 1));
    assert!(week.runs.is_empty(), "nothing was due");
    week.record(seen(true), at(7 * DAY + 2));
    assert_eq!((week.state(), week.runs[0].late()), (FollowUpState::Through, None));
    week.record(seen(false), at(8 * DAY));
    assert_eq!(week.runs.len(), 1);
}

#[test]
fn a_daily_one_runs_to_its_end_at_the_same_hour() {
    let mut daily = scheduled(DAY, Some(7 * DAY));
    let mut times = Vec::new();
    while let Some(due) = daily.due() {
        times.push(due.duration_since(at(0)).as_secs() / DAY);
        // A bit late each time; the next one is not later for it.
        daily.record(seen(true), later(due, Duration::from_secs(200)));
    }
    assert_eq!(times, [1, 2, 3, 4, 5, 6, 7]);
    assert!(daily.runs.iter().all(|run| run.late().is_none()));
}

#[test]
fn runs_that_were_missed_are_made_late_once_and_it_is_said() {
    let mut daily = scheduled(DAY, Some(7 * DAY));
    daily.hold("the agent is away", at(DAY));
    daily.hold("the agent is away", at(2 * DAY));
    assert_eq!(daily.held.as_ref().unwrap().since, at(DAY));
    daily.record(seen(true), at(3 * DAY + 3_600));
    let run = &daily.runs[0];
    assert_eq!((run.due, run.skipped), (at(DAY), 2));
    assert_eq!(run.late(), Some(Duration::from_hours(49)));
    assert_eq!((daily.due(), &daily.held), (Some(at(4 * DAY)), &None));
    // Away over its end: one run is still made.
    let mut away = scheduled(DAY, Some(7 * DAY));
    away.record(seen(true), at(30 * DAY));
    assert_eq!((away.runs[0].skipped, away.state()), (6, FollowUpState::Through));
}

#[test]
fn a_failure_stands_until_it_is_acknowledged_or_the_next_run_passes() {
    let mut daily = scheduled(DAY, Some(7 * DAY));
    let ada: OperatorName = "ada".parse().unwrap();
    let refused = daily.acknowledge(ada.clone(), "fine", at(1)).unwrap_err();
    assert!(matches!(refused, InvalidAcknowledgement::NotFailed(_)));
    daily.record(seen(false), at(DAY));
    assert_eq!(daily.state(), FollowUpState::Failed { due: Some(at(2 * DAY)) });
    assert_eq!(daily.acknowledge(ada.clone(), " ", at(DAY)), Err(InvalidAcknowledgement::NoReason));
    daily.acknowledge(ada.clone(), "a known lull", at(DAY + 1)).unwrap();
    assert!(!daily.has_failed());
    // The next failure is another one.
    daily.record(seen(false), at(2 * DAY));
    assert!(daily.has_failed());
    daily.record(seen(true), at(3 * DAY));
    assert!(!daily.has_failed(), "it holds again");
}

#[test]
fn what_is_rolled_back_is_not_looked_at_and_stands_in_nobodys_way() {
    let mut daily = scheduled(DAY, Some(7 * DAY));
    daily.record(seen(false), at(DAY));
    daily.cancel(at(DAY + 5));
    assert_eq!((daily.state(), daily.has_failed()), (FollowUpState::Cancelled { at: at(DAY + 5) }, false));
    daily.record(seen(true), at(3 * DAY));
    assert_eq!(daily.runs.len(), 1);
}
