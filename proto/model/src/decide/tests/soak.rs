//! Soaks of a day, in milliseconds: what they end on, and what holds them.

use std::time::Duration;

use jiff::SignedDuration;

use super::*;
use crate::monitor::RunResult;
use crate::pipeline::Pipeline;

const DAY: i64 = 86_400;
const QUIET: &str =
    "[[monitor]]\nname = \"quiet\"\nevery = \"10m\"\nfor = \"5m\"\nsql = \"SELECT 0\"\nexpect = 0\n";
const APP: &str =
    "[[stage.monitor]]\nname = \"app\"\nevery = \"1m\"\nhttp = { url = \"https://app/health\" }\n";

/// A soak of a day that has just begun, with its end.
fn soaking(on_failure: &str, monitors: &str) -> (Simulation, Timestamp) {
    let text = format!(
        "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nsoak = \"24h\"\non_failure = \"{on_failure}\"\n{monitors}"
    );
    let pipeline = Pipeline::parse("p.toml", &text).unwrap();
    let migrations = vec![sample::migration_with("001_a", QUIET)];
    let mut simulation = Simulation::of(&sample::created(pipeline, migrations));
    simulation.settle();
    until(&mut simulation, |d| matches!(d.stages[0].status, StageStatus::Soaking { .. }));
    let StageStatus::Soaking { until, .. } = simulation.deployment.stages[0].status else { panic!() };
    (simulation, until)
}

/// Answers every monitor that runs, by its name.
fn answer(simulation: &mut Simulation, answers: &dyn Fn(&str) -> RunResult) -> u32 {
    let mut runs = 0;
    for key in simulation.deployment.running_steps() {
        let StepState::Running { attempt, since, .. } = simulation.step(&key).state.clone() else { continue };
        let due = due_monitors(&simulation.deployment, &key, since);
        let own = due.own.iter().map(|m| &m.probe.name);
        let names: Vec<String> = due.checks.iter().map(|c| &c.name).chain(own).cloned().collect();
        assert!(!names.is_empty(), "{key} has nothing to ask");
        let check = |name: String| CheckResult {
            passed: answers(&name) == RunResult::Passed,
            unanswered: answers(&name) == RunResult::Unanswered,
            name,
            expected: "0".into(),
            observed: "3".into(),
            note: None,
            took: Duration::ZERO,
        };
        let checks: Vec<_> = names.into_iter().map(check).collect();
        let class = match checks.iter().find(|c| !c.passed) {
            None => None,
            Some(_) if checks.iter().any(|c| !c.passed && !c.unanswered) => Some(ErrorClass::Check),
            Some(_) => Some(ErrorClass::Transient),
        };
        let report = StepReport::Verified(VerifyReport { checks });
        let outcome = match class {
            None => Outcome::Succeeded { report },
            Some(class) => {
                Outcome::Failed { error: StepError::new(class, "it does not hold"), report: Some(report) }
            }
        };
        simulation.world.in_flight.remove(&key);
        simulation.apply(Event::StepFinished { step: key, attempt, outcome });
        runs += 1;
    }
    simulation.settle();
    runs
}

/// Lets time go by, from one thing that is due to the next, to this moment or the soak's end; says how many runs there were.
fn pass(simulation: &mut Simulation, to: Timestamp, answers: &dyn Fn(&str) -> RunResult) -> u32 {
    let mut runs = 0;
    for _ in 0..10_000 {
        while simulation.deployment.running_steps().iter().any(|k| k.kind == StepKind::Monitor) {
            runs += answer(simulation, answers);
        }
        let soaks = matches!(simulation.deployment.stages[0].status, StageStatus::Soaking { .. });
        if !soaks || simulation.now >= to {
            return runs;
        }
        let wake = simulation.wake.take().filter(|at| *at > simulation.now).expect("somebody wakes up");
        simulation.now = wake.min(to);
        simulation.settle();
    }
    panic!("it never ends: {:#?}", simulation.deployment.waiting);
}

fn after(at: Timestamp, seconds: i64) -> Timestamp {
    at.checked_add(SignedDuration::from_secs(seconds)).unwrap()
}

fn held(simulation: &Simulation) -> Vec<String> {
    match &simulation.deployment.waiting {
        Some(Waiting::Soak { held, .. }) => held.clone(),
        other => panic!("{other:?}"),
    }
}

fn ended_at(simulation: &Simulation) -> Timestamp {
    match simulation.deployment.stages[0].status {
        StageStatus::Ended { outcome: StageOutcome::Succeeded, at } => at,
        ref other => panic!("{other:?}"),
    }
}

const WELL: &dyn Fn(&str) -> RunResult = &|_| RunResult::Passed;

#[test]
fn a_day_in_which_every_monitor_ran_and_passed_ends_on_time() {
    let (mut simulation, end) = soaking("pause", APP);
    assert_eq!(simulation.deployment.running_steps().len(), 2, "one in each database, at once");
    let runs = pass(&mut simulation, after(end, DAY), WELL);
    assert_eq!(ended_at(&simulation), end);
    // The migration's in both databases every ten minutes, the application once a minute, and each of them at the end.
    assert_eq!(runs, 2 * 145 + 1_441);
}

#[test]
fn a_clock_that_jumps_over_the_soak_does_not_end_it() {
    let (mut simulation, end) = soaking("pause", "");
    pass(&mut simulation, after(end, -DAY + 3_600), WELL);
    simulation.now = after(end, 3_600);
    simulation.settle();
    let soon = after(simulation.now, 60);
    pass(&mut simulation, soon, WELL);
    let Some(Waiting::Soak { until, held, .. }) = simulation.deployment.waiting.clone() else { panic!() };
    assert!(until >= after(end, DAY - 600), "nearly all of it is still to come: {until}");
    assert!(
        held[0].starts_with("longer by 23h 50m: \"quiet\" of 001_a in eu has nothing to show"),
        "{held:?}"
    );
    pass(&mut simulation, after(end, 3 * DAY), WELL);
    assert_eq!(ended_at(&simulation), until);
}

#[test]
fn what_an_away_agent_could_not_run_is_made_up_for() {
    let (mut simulation, end) = soaking("rollback", "");
    pass(&mut simulation, after(end, -DAY / 2), WELL);
    simulation.agents_leave();
    simulation.now = after(simulation.now, 601);
    simulation.settle();
    assert!(matches!(simulation.deployment.waiting, Some(Waiting::AgentAway { .. })));
    simulation.now = after(simulation.now, 7_200);
    simulation.settle();
    for view in simulation.world.environments.values_mut() {
        view.databases.values_mut().for_each(|presence| *presence = connected());
    }
    simulation.settle();
    pass(&mut simulation, after(end, 2 * DAY), WELL);
    let late = ended_at(&simulation).duration_since(end).as_secs();
    assert!((7_000..7_300).contains(&late), "{late}");
}

#[test]
fn a_person_who_pauses_does_not_shorten_the_soak() {
    let (mut simulation, end) = soaking("pause", "");
    pass(&mut simulation, after(end, -3_600), WELL);
    simulation.person_pauses();
    simulation.now = after(end, 3_600);
    simulation.settle();
    simulation.apply(Event::Resumed { by: person(), databases: Vec::new() });
    simulation.settle();
    pass(&mut simulation, after(end, DAY), WELL);
    assert!(ended_at(&simulation) > after(end, 6_000));
}

#[test]
fn a_failure_counts_after_its_time_and_then_the_stage_does_what_it_says() {
    let sick: &dyn Fn(&str) -> RunResult = &|_| RunResult::Failed;
    let (mut simulation, end) = soaking("rollback", "");
    let noon = after(end, -DAY / 2);
    pass(&mut simulation, noon, WELL);
    pass(&mut simulation, after(noon, 800), sick);
    let why = held(&simulation);
    assert!(
        why[0].contains("\"quiet\" of 001_a in eu fails since") && why[0].ends_with("counts after 5m 00s"),
        "{why:?}"
    );
    pass(&mut simulation, after(noon, 1_200), sick);
    let stage = &simulation.deployment.stages[0];
    assert!(matches!(stage.status, StageStatus::RollingBack { .. }), "{:?}", stage.status);
    let cause = &stage.rollback.as_ref().unwrap().cause;
    assert!(cause.contains("the monitoring of 001_a in eu failed"), "{cause}");
}

#[test]
fn a_failure_that_passes_before_it_counts_is_only_made_up_for() {
    let (mut simulation, end) = soaking("rollback", "");
    let noon = after(end, -DAY / 2);
    pass(&mut simulation, noon, WELL);
    pass(&mut simulation, after(noon, 700), &|_| RunResult::Failed);
    pass(&mut simulation, after(end, DAY), WELL);
    let late = ended_at(&simulation).duration_since(end).as_secs();
    assert!((1..=601).contains(&late), "{late}");
}

#[test]
fn what_can_not_be_asked_holds_and_is_asked_again_for_ever() {
    let (mut simulation, end) = soaking("rollback", APP);
    let down: &dyn Fn(&str) -> RunResult =
        &|name| if name == "app" { RunResult::Unanswered } else { RunResult::Passed };
    let runs = pass(&mut simulation, after(end, 3_600), down);
    assert!(simulation.deployment.paused.is_none());
    assert!(runs > 2_000, "each 30 s: {runs}");
    let why = held(&simulation);
    assert!(why[0].contains("\"app\" in eu could not be asked since"), "{why:?}");
    // Once it is there, it has to vouch for a whole day.
    let back = simulation.now;
    pass(&mut simulation, after(end, 3 * DAY), WELL);
    assert!(ended_at(&simulation) >= after(back, DAY - 60));
}

#[test]
fn a_person_who_resumes_gives_a_failed_monitor_its_time_anew() {
    let (mut simulation, end) = soaking("pause", "");
    let sick: &dyn Fn(&str) -> RunResult = &|_| RunResult::Failed;
    pass(&mut simulation, after(end, -DAY / 2), WELL);
    pass(&mut simulation, after(end, -DAY / 2 + 2_000), sick);
    assert!(simulation.deployment.paused.is_some());
    simulation.apply(Event::Resumed { by: person(), databases: Vec::new() });
    simulation.settle();
    assert!(!simulation.deployment.running_steps().is_empty(), "it is asked at once");
    answer(&mut simulation, sick);
    assert!(simulation.deployment.paused.is_none());
    pass(&mut simulation, after(end, DAY), WELL);
    assert!(ended_at(&simulation) > end);
}

#[test]
fn an_agent_that_says_nothing_of_a_monitor_has_not_run_it() {
    let (mut simulation, _) = soaking("pause", APP);
    let key = StepKey::target(StageIndex(0), &"eu".parse().unwrap(), StepKind::Monitor);
    until(&mut simulation, |d| d.running_steps().contains(&key) || d.step(&key).unwrap().attempts > 0);
    for key in simulation.deployment.running_steps() {
        let attempt = Attempt(simulation.step(&key).attempts);
        simulation.world.in_flight.remove(&key);
        let outcome = sample::success(&key, vec![]);
        simulation.apply(Event::StepFinished { step: key, attempt, outcome });
    }
    simulation.settle();
    assert!(held(&simulation)[0].contains("could not be asked"), "{:?}", held(&simulation));
}
