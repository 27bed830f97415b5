//! Stages of many databases: waves, failures that are borne, those that a person tries again or leaves out.

use super::*;
use crate::deployment::{FleetCounts, looks};
use crate::id::DatabaseName;
use crate::pipeline::Pipeline;

/// So many databases in production, with these keys in its stage; staging has none but its own two.
pub(super) fn fleet(databases: usize, keys: &str) -> Simulation {
    let text =
        format!("name = \"p\"\n[[stage]]\nenvironment = \"production\"\non_failure = \"pause\"\n{keys}\n");
    let pipeline = Pipeline::parse("pipeline.toml", &text).unwrap();
    let mut simulation =
        Simulation::of(&sample::created(pipeline, vec![sample::migration("001_a", true, false)]));
    let view =
        simulation.world.environments.get_mut(&"production".parse::<EnvironmentName>().unwrap()).unwrap();
    view.databases = (0..databases).map(|n| (named(n), connected())).collect();
    simulation
}

pub(super) fn named(n: usize) -> DatabaseName {
    format!("db-{n:05}").parse().unwrap()
}

pub(super) fn counts(simulation: &Simulation) -> Vec<FleetCounts> {
    simulation.deployment.stages[0].waves().into_iter().map(|wave| wave.counts).collect()
}

/// Answers everything that runs until nothing does; migrations of `failing` fail.
pub(super) fn run(simulation: &mut Simulation, failing: &[usize]) -> usize {
    let mut most = 0;
    for _ in 0..1_000_000 {
        simulation.settle();
        let running: Vec<_> = simulation.world.in_flight.iter().cloned().collect();
        most = most.max(running.len());
        let Some(key) = running.first() else { return most };
        let fails = key.kind == StepKind::Migrate && failing.iter().any(|n| named(*n) == key.database);
        simulation.answer(key, if fails { 10 } else { 0 });
    }
    panic!("it never comes to rest");
}

fn resumed(databases: &[usize]) -> Event {
    Event::Resumed { by: person(), databases: databases.iter().map(|n| named(*n)).collect() }
}

#[test]
fn waves_come_one_after_the_other_and_so_many_databases_at_a_time() {
    let mut simulation = fleet(30, "waves = [\"canary:1\", \"10%\", \"100%\"]\nmax_parallel = 4");
    simulation.settle();
    assert_eq!(simulation.world.in_flight.len(), 1, "the canary is alone");
    assert_eq!(run(&mut simulation, &[]), 4);
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
    let sizes: Vec<_> = counts(&simulation).iter().map(|c| (c.all(), c.done)).collect();
    assert_eq!(sizes, [(1, 1), (2, 2), (27, 27)]);
}

#[test]
fn a_canary_that_fails_stops_everything_and_can_be_tried_again_alone() {
    let mut simulation = fleet(10, "waves = [\"canary:1\", \"100%\"]\nmax_parallel = 4\nmax_failures = 3");
    run(&mut simulation, &[0]);
    let paused = simulation.deployment.paused.clone().expect("it is held");
    assert!(paused.cause.contains("in db-00000 failed"), "{}", paused.cause);
    assert_eq!(counts(&simulation)[1].fresh, 9, "nobody else has begun");
    simulation.apply(resumed(&[0]));
    run(&mut simulation, &[]);
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn failures_that_are_borne_lose_nobody_and_hold_the_stage_at_its_end() {
    let mut simulation = fleet(20, "max_parallel = 5\nmax_failures = \"10%\"");
    run(&mut simulation, &[3, 17]);
    assert_eq!(counts(&simulation), [FleetCounts { done: 18, failed: 2, ..FleetCounts::default() }]);
    let paused = simulation.deployment.paused.clone().expect("it is held");
    assert!(paused.cause.starts_with("2 of 20 databases failed"), "{}", paused.cause);
    assert!(paused.cause.contains("db-00003, db-00017"), "{}", paused.cause);
    // One by itself, and the other one is still said.
    simulation.apply(resumed(&[17]));
    run(&mut simulation, &[]);
    assert_eq!(counts(&simulation)[0].failed, 1);
    assert!(simulation.deployment.paused.as_ref().unwrap().cause.starts_with("1 of 20"));
    let refused = simulation.refused(resumed(&[5]));
    assert!(matches!(refused, crate::deployment::IllegalEvent::NotFailed { .. }), "{refused}");
    let leave = |n| Event::DatabaseLeftOut {
        stage: StageIndex(0),
        database: named(n),
        by: person(),
        reason: "the tenant has gone".into(),
    };
    assert!(matches!(simulation.refused(leave(5)), crate::deployment::IllegalEvent::StaysIn { .. }));
    simulation.apply(leave(3));
    run(&mut simulation, &[]);
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
    assert_eq!(counts(&simulation)[0].left_out, 1);
}

#[test]
fn more_failures_than_are_borne_stop_what_has_not_begun_and_what_runs_ends() {
    let mut simulation = fleet(20, "max_parallel = 5\nmax_failures = 1");
    run(&mut simulation, &[0, 1, 2]);
    let found = counts(&simulation)[0];
    assert!(found.failed >= 2 && found.fresh > 0, "{found:?}");
    assert!(simulation.world.in_flight.is_empty());
    let cause = &simulation.deployment.paused.as_ref().unwrap().cause;
    assert!(cause.contains("failed as well, of 20 databases: db-00001"), "{cause}");
    // With one of them by itself nobody else begins.
    simulation.apply(resumed(&[1]));
    simulation.settle();
    assert_eq!(simulation.world.in_flight.iter().map(|k| k.database.clone()).collect::<Vec<_>>(), [named(1)]);
    simulation.apply(Event::Paused { cause: "wait".into(), by: person() });
    let refused = simulation.refused(resumed(&[0]));
    assert_eq!(refused, crate::deployment::IllegalEvent::HeldByPerson);
    simulation.apply(resumed(&[]));
    run(&mut simulation, &[]);
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn a_database_whose_agent_is_away_holds_nobody_else_up() {
    let mut simulation = fleet(6, "max_parallel = 2");
    let production: EnvironmentName = "production".parse().unwrap();
    let here = simulation.world.environments[&production].databases[&named(0)].clone();
    let AgentPresence::Connected(agent) = here.clone() else { panic!("{here:?}") };
    let presence = |n: usize, presence: AgentPresence, simulation: &mut Simulation| {
        let view = simulation.world.environments.get_mut(&production).unwrap();
        view.databases.insert(named(n), presence);
    };
    presence(0, AgentPresence::Away(agent.clone()), &mut simulation);
    run(&mut simulation, &[]);
    assert_eq!(counts(&simulation)[0], FleetCounts { done: 5, fresh: 1, ..FleetCounts::default() });
    assert!(
        matches!(&simulation.deployment.waiting, Some(Waiting::AgentAway { database, .. }) if *database == named(0))
    );
    presence(0, here, &mut simulation);
    run(&mut simulation, &[]);
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn who_joins_in_the_middle_is_said_and_left_alone() {
    let mut simulation = fleet(4, "max_parallel = 2");
    simulation.settle();
    let view =
        simulation.world.environments.get_mut(&"production".parse::<EnvironmentName>().unwrap()).unwrap();
    view.databases.insert(named(9), connected());
    view.databases.remove(&named(0));
    view.databases.insert(named(0), connected());
    run(&mut simulation, &[]);
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
    let changed = simulation.deployment.stages[0].changed.clone().expect("it is said");
    assert_eq!((changed.joined, changed.left), (vec![named(9)], vec![]));
}

#[test]
fn labels_that_nobody_has_hold_the_stage_at_its_beginning() {
    for keys in ["select = \"region=eu\"", "waves = [\"tier=canary\", \"100%\"]"] {
        let mut simulation = fleet(4, keys);
        simulation.settle();
        assert!(matches!(simulation.deployment.waiting, Some(Waiting::NoneSelected { .. })), "{keys}");
    }
}

#[test]
fn one_database_under_two_names_is_refused_with_both() {
    let mut simulation = fleet(3, "max_parallel = 3\nmax_failures = 1");
    simulation.settle();
    for key in simulation.world.in_flight.clone() {
        let attempt = Attempt(1);
        simulation.world.in_flight.remove(&key);
        let mut found = sample::inspection();
        found.database = if key.database == named(1) { "b".into() } else { "a".into() };
        let outcome = Outcome::Succeeded { report: StepReport::Inspected(found) };
        simulation.apply(Event::StepFinished { step: key, attempt, outcome });
    }
    run(&mut simulation, &[]);
    let stage = &simulation.deployment.stages[0];
    let refused = stage.target(&named(2)).unwrap().refused.as_ref().expect("it is refused");
    assert!(refused.message.contains("db-00000 (of the agent"), "{}", refused.message);
    assert!(refused.message.contains("are the same database: a in the cluster"), "{}", refused.message);
    assert!(stage.target(&named(0)).unwrap().is_migrated());
}

#[test]
fn a_database_that_two_agents_serve_is_refused_with_both_until_one_of_them_lets_go() {
    let mut simulation = fleet(3, "max_parallel = 3\nmax_failures = 1");
    let production: EnvironmentName = "production".parse().unwrap();
    let view = simulation.world.environments.get_mut(&production).unwrap();
    view.disputed.insert(named(1), "older".parse().unwrap());
    run(&mut simulation, &[]);
    let stage = &simulation.deployment.stages[0];
    let refused = stage.target(&named(1)).unwrap().refused.as_ref().expect("it is refused");
    assert!(refused.message.starts_with("db-00001 is served by two agents at once, "), "{}", refused.message);
    assert!(refused.message.ends_with(" and older") && refused.hint.is_some(), "{refused:?}");
    assert!(stage.target(&named(0)).unwrap().is_migrated(), "the others lose nothing");
    assert!(!stage.target(&named(1)).unwrap().was_begun(), "nobody has touched it");

    simulation.world.environments.get_mut(&production).unwrap().disputed.clear();
    simulation.apply(resumed(&[1]));
    run(&mut simulation, &[]);
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn a_rollback_takes_as_many_back_at_a_time() {
    let mut simulation = fleet(9, "max_parallel = 3\nmax_failures = 1");
    run(&mut simulation, &[8, 7]);
    simulation.person_asks_for_a_rollback(0);
    assert_eq!(run(&mut simulation, &[]), 3);
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
}

/// What a database costs does not grow with those that nothing is due in.
#[test]
fn a_large_fleet_costs_each_database_as_much_as_a_small_one() {
    let each = |databases: usize| {
        let mut simulation = fleet(databases, "max_parallel = 20");
        looks::take();
        run(&mut simulation, &[]);
        assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
        looks::take() / databases
    };
    let (small, large) = (each(200), each(1_000));
    assert!(large <= small * 2, "{small} looks at databases for each of 200, {large} for each of 1,000");
}
