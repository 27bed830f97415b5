//! Stages that wait for their windows: what begins in one only, what goes on behind its end, and what never waits.

use std::time::Duration;

use super::*;
use crate::deployment::IllegalEvent;
use crate::gate::{GateRefusal, GateWait};
use crate::pipeline::Pipeline;
use crate::plan::MigrationSummary;

const STAGING: StageIndex = StageIndex(0);
const PRODUCTION: StageIndex = StageIndex(1);

/// A deployment whose stages may begin in the first half of every hour.
pub(super) fn simulation(on_failure: &str) -> Simulation {
    let mut pipeline = pipeline(on_failure, "window = { cron = \"0 * * * *\", for = \"30m\" }");
    let calendar = pipeline.stages[1].calendar.clone();
    pipeline.stages[0].calendar = calendar;
    Simulation::of(&sample::created(pipeline, both()))
}

fn both() -> Vec<MigrationSummary> {
    vec![sample::migration("001_a", true, false), sample::migration("002_b", true, false)]
}

fn pipeline(on_failure: &str, production: &str) -> Pipeline {
    let text = format!(
        "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\nsoak = \"12s\"\non_failure = \"{on_failure}\"\n\
         [[stage]]\nenvironment = \"production\"\non_failure = \"{on_failure}\"\n{production}\n"
    );
    Pipeline::parse("p.toml", &text).unwrap()
}

/// In front of what production waits for. Time begins at 22:13:20 UTC on the 14th of November 2023.
fn waiting(production: &str, migrations: Vec<MigrationSummary>) -> Simulation {
    let mut simulation = Simulation::of(&sample::created(pipeline("pause", production), migrations));
    simulation.settle();
    until(&mut simulation, |d| matches!(d.waiting, Some(Waiting::Gates { .. })));
    simulation
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

impl Simulation {
    fn shut(&self) -> Vec<GateWait> {
        match &self.deployment.waiting {
            Some(Waiting::Gates { gates, .. }) => gates.clone(),
            _ => Vec::new(),
        }
    }

    fn at(&mut self, time: &str) {
        self.now = at(time);
        self.settle();
    }

    fn answer_all(&mut self) {
        for key in self.deployment.running_steps() {
            self.answer(&key, 0);
        }
        self.settle();
    }

    fn overrides(&mut self) {
        let by = "root".parse().unwrap();
        self.apply(Event::WindowOverridden { stage: PRODUCTION, by, reason: "an incident".into() });
        self.settle();
    }
}

fn opens(time: &str) -> Vec<GateWait> {
    vec![GateWait::Window { opens: Some(at(time)) }]
}

const NIGHTS: &str = "window = { cron = \"0 2 * * *\", for = \"30m\", timezone = \"Europe/Paris\" }";

#[test]
fn the_first_migration_waits_for_the_window_and_all_is_ready_when_it_opens() {
    let mut simulation = waiting(NIGHTS, both());
    assert_eq!(simulation.shut(), opens("2023-11-15T01:00:00Z"));
    let production = |s: &Simulation| s.deployment.stages[1].targets[0].clone();
    assert!(production(&simulation).plan.is_some() && production(&simulation).backup.is_pending());
    simulation.at("2023-11-15T00:53:00Z");
    assert!(simulation.deployment.running_steps().is_empty());
    // What a look and a backup take is not known yet: some minutes.
    simulation.at("2023-11-15T00:54:30Z");
    assert!(running(&simulation, StepKind::Inspect).is_some(), "it was looked at hours ago");
    simulation.answer_all();
    assert!(running(&simulation, StepKind::Backup).is_some());
    simulation.answer_all();
    assert_eq!(simulation.shut(), opens("2023-11-15T01:00:00Z"));
    simulation.at("2023-11-15T00:59:59Z");
    assert!(simulation.deployment.running_steps().is_empty());
    simulation.at("2023-11-15T01:00:00Z");
    assert!(running(&simulation, StepKind::Migrate).is_some());
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn a_migration_that_comes_after_the_windows_end_waits_for_the_next_one() {
    let mut simulation = waiting(NIGHTS, both());
    simulation.world.environments.values_mut().for_each(|view| view.queueing.clear());
    simulation.at("2023-11-15T01:00:00Z");
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    simulation.now = at("2023-11-15T01:30:00Z");
    simulation.answer_all();
    assert_eq!(simulation.shut(), opens("2023-11-16T01:00:00Z"));
    simulation.at("2023-11-16T01:00:00Z");
    assert!(running(&simulation, StepKind::Migrate).is_some());
}

#[test]
fn what_is_rolled_back_does_not_wait() {
    let mut simulation = waiting(NIGHTS, both());
    simulation.at("2023-11-15T01:00:00Z");
    until(&mut simulation, |d| d.outcome.is_some());
    simulation.now = at("2023-11-15T12:00:00Z");
    let (stage, cause) = (PRODUCTION, "asked for".to_owned());
    simulation.apply(Event::RollbackStarted { stage, cause, by: person(), to: None });
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
    assert!(simulation.now < at("2023-11-15T12:10:00Z"));
}

#[test]
fn after_a_soak_that_ends_in_a_freeze_the_next_stage_waits() {
    let mut simulation = waiting("freeze = [\"2023-11-14/2023-11-20\"]", both());
    assert!(matches!(simulation.deployment.stages[0].status, StageStatus::Ended { .. }));
    assert_eq!(simulation.shut(), [GateWait::Freeze { until: at("2023-11-21T00:00:00Z") }]);
    simulation.at("2023-11-21T00:00:00Z");
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn an_administrators_word_opens_it() {
    let mut simulation = waiting(NIGHTS, both());
    simulation.overrides();
    until(&mut simulation, |d| d.outcome.is_some());
    assert!(simulation.now < at("2023-11-14T22:30:00Z"));
    let by = "root".parse().unwrap();
    let other = Simulation::new("pause", true);
    let event = Event::WindowOverridden { stage: STAGING, by, reason: "why not".into() };
    let seq = other.deployment.seq.next();
    let record = Record { deployment: other.deployment.id.clone(), seq, at: other.now, event };
    let refusal = other.deployment.clone().apply(&record).unwrap_err();
    assert!(matches!(refusal, IllegalEvent::Gate(GateRefusal::NoWindow { .. })), "{refusal}");
}

#[test]
fn a_backfill_at_the_windows_end_is_what_is_waited_for() {
    let up = "-- stopover: backfill\nUPDATE users SET plan = 'free' WHERE plan IS NULL";
    let files = [("up.sql".to_owned(), up.as_bytes().to_vec())].into();
    let migration = crate::migration::Migration::parse("001_a".parse().unwrap(), files).unwrap();
    let mut simulation = waiting(NIGHTS, vec![MigrationSummary::of(&migration)]);
    simulation.at("2023-11-15T01:00:00Z");
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    assert_eq!(simulation.wake, Some(at("2023-11-15T01:30:00Z")));
    simulation.at("2023-11-15T01:30:00Z");
    assert_eq!(simulation.shut(), opens("2023-11-16T01:00:00Z"));
    assert!(running(&simulation, StepKind::Migrate).is_some(), "the agent holds it");
    simulation.at("2023-11-16T01:00:00Z");
    assert_eq!(simulation.deployment.waiting, None);
    simulation.now = simulation.now.checked_add(Duration::from_mins(1)).unwrap();
    simulation.answer_all();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}
