//! The two looks at the statistics, with limits and without.

use super::*;
use crate::baseline::tests::metrics;
use crate::pipeline::Pipeline;

const LIMITS: &str = "[stage.baseline]\nseq_scans = \"3x\"\n";

/// A soak of a day that has just begun, in one database.
fn soaking(on_failure: &str, limits: &str) -> (Simulation, Timestamp) {
    soaking_with(on_failure, limits, true)
}

fn soaking_with(on_failure: &str, limits: &str, counts: bool) -> (Simulation, Timestamp) {
    let text = format!(
        "name = \"p\"\n[[stage]]\nenvironment = \"production\"\nsoak = \"24h\"\non_failure = \"{on_failure}\"\n{limits}"
    );
    let pipeline = Pipeline::parse("p.toml", &text).unwrap();
    let migrations = vec![sample::migration("001_a", true, false)];
    let mut simulation = Simulation::of(&sample::created(pipeline, migrations));
    simulation.counts = counts;
    simulation.settle();
    until(&mut simulation, |d| matches!(d.stages[0].status, StageStatus::Soaking { .. }));
    let StageStatus::Soaking { until, .. } = simulation.deployment.stages[0].status else { panic!() };
    (simulation, until)
}

/// What the agent reports, if it is asked.
fn report(simulation: &mut Simulation, outcome: Outcome) {
    let key = running(simulation, StepKind::Measure).expect("it is asked");
    let attempt = Attempt(simulation.step(&key).attempts);
    simulation.world.in_flight.remove(&key);
    simulation.apply(Event::StepFinished { step: key, attempt, outcome });
    simulation.settle();
}

fn counted(second: i64, scans: u64) -> Outcome {
    Outcome::Succeeded { report: StepReport::Measured(metrics(second, scans)) }
}

fn away() -> Outcome {
    Outcome::Failed { error: StepError::new(ErrorClass::Transient, "the database is away"), report: None }
}

fn at(simulation: &mut Simulation, moment: Timestamp) {
    simulation.now = moment;
    simulation.settle();
}

fn later(moment: Timestamp, seconds: i64) -> Timestamp {
    moment.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap()
}

fn succeeded(simulation: &Simulation) -> bool {
    simulation.deployment.outcome == Some(DeploymentOutcome::Succeeded)
}

#[test]
fn a_soak_is_looked_at_when_it_begins_and_when_it_ends() {
    let (mut simulation, end) = soaking("pause", LIMITS);
    report(&mut simulation, counted(600, 14_500));
    at(&mut simulation, later(end, -1));
    assert_eq!(running(&simulation, StepKind::Measure), None);
    let end = simulation.deployment.soak_end(&simulation.deployment.stages[0]).unwrap();
    at(&mut simulation, end);
    assert!(!succeeded(&simulation), "not before the second look");
    report(&mut simulation, counted(600 + 86_400, 14_500 + 1_440));
    assert!(succeeded(&simulation));
    let stage = &simulation.deployment.stages[0];
    let compared = stage.compared(&stage.targets[0]).unwrap();
    assert_eq!(compared.figures[0].to_string(), "sequential scans of users: 1.0/min, 1.0/min before");
}

#[test]
fn more_than_the_limit_fails_the_soak_and_a_person_may_find_it_right() {
    let too_much = counted(600 + 86_400, 14_500 + 20 * 1_440);
    let ended = |on_failure| {
        let (mut simulation, _) = soaking(on_failure, LIMITS);
        report(&mut simulation, counted(600, 14_500));
        let end = simulation.deployment.soak_end(&simulation.deployment.stages[0]).unwrap();
        at(&mut simulation, end);
        report(&mut simulation, too_much.clone());
        simulation
    };
    let mut paused = ended("pause");
    let cause = paused.deployment.paused.as_ref().unwrap().cause.clone();
    assert_eq!(
        cause,
        "more was counted in main than before the migration: sequential scans of users: 20/min, 1.0/min before (20x), at most 3x"
    );
    paused.apply(Event::Resumed { by: person(), databases: Vec::new() });
    paused.settle();
    assert!(succeeded(&paused));
    let back = ended("rollback");
    assert!(matches!(back.deployment.stages[0].status, StageStatus::RollingBack { .. }));
}

#[test]
fn without_limits_a_soak_ends_on_time_whatever_becomes_of_the_looks() {
    // Nobody is there.
    let (mut simulation, end) = soaking("pause", "");
    report(&mut simulation, away());
    simulation.agents_leave();
    at(&mut simulation, end);
    assert!(succeeded(&simulation), "{:?}", simulation.deployment.waiting);
    // It is refused.
    let (mut simulation, end) = soaking("rollback", "");
    let error = StepError::new(ErrorClass::Setup, "permission denied");
    report(&mut simulation, Outcome::Failed { error, report: None });
    assert_eq!(running(&simulation, StepKind::Measure), None, "not again and again");
    at(&mut simulation, end);
    assert!(succeeded(&simulation));
    // The second look fails.
    let (mut simulation, end) = soaking("pause", "");
    report(&mut simulation, counted(600, 14_500));
    at(&mut simulation, end);
    report(&mut simulation, away());
    assert!(succeeded(&simulation));
}

#[test]
fn with_limits_what_can_not_be_read_holds_the_soak_which_lasts_from_its_first_look() {
    let (mut simulation, end) = soaking("pause", LIMITS);
    for _ in 0..20 {
        report(&mut simulation, away());
        let wake = simulation.wake.take().unwrap();
        at(&mut simulation, wake);
    }
    report(&mut simulation, away());
    let Some(Waiting::Soak { held, .. }) = &simulation.deployment.waiting else { panic!() };
    assert_eq!(held, &["the statistics of main could not be read: the database is away"]);
    at(&mut simulation, end);
    report(&mut simulation, counted(600, 14_500));
    assert!(!succeeded(&simulation));
    assert_eq!(running(&simulation, StepKind::Measure), None, "a day has to pass first");
    at(&mut simulation, later(end, 86_400));
    report(&mut simulation, counted(600 + 86_400, 14_500));
    assert!(succeeded(&simulation));
}

#[test]
fn where_the_inspection_counted_nothing_nothing_is_compared() {
    let (mut simulation, end) = soaking_with("pause", LIMITS, false);
    assert!(!simulation.deployment.stages[0].targets[0].is_measured());
    at(&mut simulation, later(end, 60));
    assert!(succeeded(&simulation));
}
