//! Deployments driven by random answers, agents that come and go, and people: nothing decided is ever illegal, and
//! whatever keeps receiving answers ends.

use proptest::prelude::*;

use super::*;
use crate::deployment::{Targets, tests as sample};
use crate::event::{Actor, DeploymentKind, Record, Resolution};
use crate::id::{EnvironmentName, RunId, Seq};
use crate::report::{CheckResult, LogLine, StepReport, VerifyReport};

mod baseline;
mod fleet;
mod gates;
mod glance;
mod hooks;
mod rehearsal;
mod rollback;
mod soak;
mod window;

/// A conductor, its agents and its people, all of them driven by one list of choices.
struct Simulation {
    deployment: Deployment,
    /// What was applied after the beginning.
    log: Vec<Record>,
    world: World,
    now: Timestamp,
    wake: Option<Timestamp>,
    cancelled: Vec<StepKey>,
    lines: u64,
    epoch: u64,
    /// Inspections have what a soak is compared with.
    counts: bool,
}

impl Simulation {
    fn new(on_failure: &str, down: bool) -> Self {
        let migrations = vec![
            sample::migration("001_a", down, true),
            sample::migration("002_b", true, false),
            sample::migration("003_c", true, false),
        ];
        Self::of(&sample::created(sample::pipeline(on_failure), migrations))
    }

    /// With a verification in front of the monitors.
    fn checked(on_failure: &str) -> Self {
        let migrations = vec![sample::migration_with("001_a", sample::VERIFY_AND_MONITOR)];
        Self::of(&sample::created(sample::pipeline(on_failure), migrations))
    }

    /// Deployed again after a rollback, for this reason.
    fn again(why: Option<&str>) -> Self {
        let migrations =
            vec![sample::migration("001_a", true, false), sample::migration("002_b", true, false)];
        let mut record = sample::created(sample::pipeline("pause"), migrations);
        if let Event::Created { again, .. } = &mut record.event {
            *again = why.map(str::to_owned);
        }
        Self::of(&record)
    }

    fn of(record: &Record) -> Self {
        let mut world = World::default();
        for (name, databases) in [("staging", &["eu", "us"][..]), ("production", &["main"][..])] {
            let view = EnvironmentView {
                databases: databases.iter().map(|d| (d.parse().unwrap(), connected())).collect(),
                queueing: databases.iter().map(|d| d.parse().unwrap()).collect(),
                held_by: None,
                ..EnvironmentView::default()
            };
            world.environments.insert(name.parse().unwrap(), view);
        }
        let deployment = Deployment::open(record).unwrap();
        Self {
            deployment,
            log: Vec::new(),
            world,
            now: sample::at(0),
            wake: None,
            cancelled: vec![],
            lines: 0,
            epoch: 0,
            counts: false,
        }
    }

    fn apply(&mut self, event: Event) {
        let record = Record {
            deployment: self.deployment.id.clone(),
            seq: Seq(self.deployment.seq.0 + 1),
            at: self.now,
            event,
        };
        self.deployment
            .apply(&record)
            .unwrap_or_else(|e| panic!("decided something illegal: {e}\n{record:?}"));
        for stage in self.deployment.stages.iter().filter(|s| s.targets.len() < 50) {
            let anew = Targets::new(stage.targets.to_vec(), &stage.targets.sizes());
            assert!(stage.targets == anew, "{record:?} left a database where it does not belong");
        }
        self.log.push(record);
        // Every so often it goes on from what was kept of it.
        if self.deployment.seq.0.is_multiple_of(16)
            && self.deployment.stages.iter().all(|s| s.targets.len() < 30)
        {
            let kept = serde_json::to_string(&self.deployment).unwrap();
            let read = serde_json::from_str(&kept).unwrap();
            assert_eq!(self.deployment, read);
            self.deployment = read;
        }
    }

    /// Carries out what is decided until nothing is left to do without an answer.
    fn settle(&mut self) {
        for _ in 0..200 {
            let commands = decide(&self.deployment, &self.world, self.now);
            let mut changed = false;
            let mut starting = false;
            for command in commands {
                if starting && !matches!(command, Command::Start { .. }) {
                    break;
                }
                match command {
                    Command::Append(event) => {
                        self.apply(event);
                        changed = true;
                        break;
                    }
                    Command::Start { step, attempt, agent } => {
                        self.epoch += 1;
                        let epoch = Epoch(self.epoch);
                        self.apply(Event::StepStarted { step: step.clone(), attempt, epoch, agent });
                        self.world.in_flight.insert(step);
                        (changed, starting) = (true, true);
                    }
                    Command::Attach { step, .. } => {
                        assert!(self.world.in_flight.insert(step), "attached twice");
                        changed = true;
                    }
                    Command::CancelStep { step, .. } => self.cancelled.push(step),
                    Command::Withdraw { step, .. } => {
                        assert!(self.step(&step).is_behind(), "{step} has its turn");
                    }
                    Command::CallHook { .. } => {}
                    Command::WakeAt(at) => self.wake = Some(at),
                }
            }
            if !changed {
                let d = &self.deployment;
                let waits = d.outcome.is_some() || d.waiting.is_some() || !self.world.in_flight.is_empty();
                assert!(waits, "it rests, and nobody knows for what: {d:#?}");
                return;
            }
        }
        panic!("decide never came to rest: {:#?}", self.deployment.waiting);
    }

    /// One thing happens. `choice` 0 is always what heals.
    fn happen(&mut self, choice: u8) {
        self.now = self.now.checked_add(std::time::Duration::from_millis(300)).unwrap();
        let listened: Vec<_> = self.world.in_flight.iter().cloned().collect();
        match (choice, listened.first()) {
            (1, _) => self.agents_leave(),
            (2, Some(key)) => {
                self.world.in_flight.remove(&key.clone());
            }
            (3, Some(key)) => self.log(&key.clone()),
            (4, _) => self.other_deployment_comes(),
            (5, _) if self.deployment.outcome.is_none() && self.deployment.cancelling.is_none() => {
                self.apply(Event::CancelRequested { by: person() });
            }
            (6, _) => self.person_pauses(),
            (7..=12, Some(key)) => self.answer(&key.clone(), choice),
            (13, _) => self.person_asks_for_a_rollback(0),
            (14, _) => self.person_asks_for_a_rollback(1),
            (15, _) => self.person_asks_for_a_part_back(0),
            (16, _) => self.person_resolves_a_failed_rollback(),
            (17..=20, _) => self.person_at_the_gates(choice - 16),
            _ => self.heal(&listened),
        }
        self.settle();
    }

    fn heal(&mut self, listened: &[StepKey]) {
        for view in self.world.environments.values_mut() {
            view.held_by = None;
            view.databases.values_mut().for_each(|p| *p = connected());
        }
        if let Some(key) = listened.first() {
            self.answer(key, 0);
        } else if matches!(self.deployment.waiting, Some(Waiting::Person { .. })) {
            self.person_decides();
        } else if matches!(self.deployment.waiting, Some(Waiting::Gates { .. })) {
            self.person_at_the_gates(0);
            if let Some(at) = self.wake.take() {
                self.now = self.now.max(at);
            }
        } else if let Some(at) = self.wake.take() {
            self.now = self.now.max(at);
        }
    }

    fn step(&self, key: &StepKey) -> &crate::deployment::Step {
        self.deployment.step(key).unwrap()
    }

    /// What stands behind another is not begun by a person's wish, nor when the other did not succeed; else it has to wait.
    fn answer(&mut self, key: &StepKey, choice: u8) {
        if !self.step(key).is_behind() {
            return self.answer_turn(key, choice);
        }
        let waits = self.deployment.one_before_is_running(key) && self.deployment.paused.is_none();
        if waits && !self.cancelled.contains(key) {
            return;
        }
        let attempt = Attempt(self.step(key).attempts);
        self.cancelled.retain(|k| k != key);
        self.world.in_flight.remove(key);
        let outcome = Outcome::NotBegun { why: "the one before it".into() };
        self.apply(Event::StepFinished { step: key.clone(), attempt, outcome });
    }

    fn answer_turn(&mut self, key: &StepKey, choice: u8) {
        let Some(StepState::Running { attempt, .. }) = self.deployment.step(key).map(|s| s.state.clone())
        else {
            self.world.in_flight.remove(key);
            return;
        };
        let class = match choice {
            7 | 11 => ErrorClass::Transient,
            8 => ErrorClass::Sql,
            9 => ErrorClass::Check,
            _ => ErrorClass::Setup,
        };
        let error = StepError::new(class, "it failed").with_effect(match choice {
            8 => Effect::Partial,
            11 | 12 => Effect::Possible,
            _ => Effect::None,
        });
        let due = due_monitors(&self.deployment, key, self.now);
        let own = due.own.iter().map(|m| &m.probe.name);
        let monitors = due.checks.iter().map(|c| &c.name).chain(own).cloned().collect();
        let outcome = match choice {
            _ if self.cancelled.contains(key) => Outcome::Failed {
                error: StepError::new(ErrorClass::Cancelled, "cancelled").with_effect(Effect::Possible),
                report: None,
            },
            0 if self.counts && key.kind == StepKind::Inspect => inspected_and_counted(key),
            0 => sample::success(key, monitors),
            11 | 12 => Outcome::Unknown { error },
            _ => Outcome::Failed { error, report: None },
        };
        self.cancelled.retain(|k| k != key);
        self.world.in_flight.remove(key);
        self.apply(Event::StepFinished { step: key.clone(), attempt, outcome });
    }

    fn log(&mut self, key: &StepKey) {
        let Some(StepState::Running { attempt, .. }) = self.deployment.step(key).map(|s| s.state.clone())
        else {
            return;
        };
        self.lines += 1;
        let run: RunId = "00000000-0000-4000-8000-000000000001".parse().unwrap();
        let line = LogLine::Message { text: "still at it".into() };
        self.apply(Event::StepLogged { step: key.clone(), attempt, run, line_number: self.lines, line });
    }

    fn agents_leave(&mut self) {
        for view in self.world.environments.values_mut() {
            view.databases.values_mut().for_each(|p| *p = AgentPresence::Away("agent".parse().unwrap()));
        }
        self.world.in_flight.clear();
    }

    fn other_deployment_comes(&mut self) {
        let open = self.deployment.stages.iter().any(Stage::is_open);
        if !open && let Some(view) = self.world.environments.values_mut().next() {
            view.held_by = Some(crate::id::DeploymentId::from_random(99));
        }
    }

    fn person_pauses(&mut self) {
        let d = &self.deployment;
        if d.outcome.is_none() && d.paused.is_none() && d.cancelling.is_none() {
            self.apply(Event::Paused { cause: "lunch".into(), by: person() });
        }
    }

    /// Of whatever state the deployment is in; refused where it makes no sense.
    fn person_asks_for_a_rollback(&mut self, stage: u32) {
        self.person_asks(stage, None);
    }

    fn person_asks_for_a_part_back(&mut self, stage: u32) {
        self.person_asks(stage, Some("001_a"));
    }

    fn person_asks(&mut self, stage: u32, to: Option<&str>) {
        let (stage, to) = (StageIndex(stage), to.map(|id| id.parse().unwrap()));
        let event = Event::RollbackStarted { stage, cause: "asked".into(), by: person(), to };
        let deployment = self.deployment.id.clone();
        let record = Record { deployment, seq: self.deployment.seq.next(), at: self.now, event };
        let _ = self.deployment.apply(&record);
    }

    fn person_resolves_a_failed_rollback(&mut self) {
        if self.deployment.outcome.is_some() || self.deployment.cancelling.is_some() {
            return;
        }
        if let Some(step) = self.deployment.failed_rollbacks().into_iter().next() {
            self.apply(Event::Resolved { step, resolution: Resolution::Applied, by: person() });
        }
    }

    fn person_decides(&mut self) {
        let unknown = self.deployment.indexed_stages().find_map(|(index, stage)| {
            stage.targets.iter().flat_map(|t| t.keys(index)).find(|key| {
                matches!(self.deployment.step(key).map(|s| &s.state), Some(StepState::Unknown { .. }))
            })
        });
        match unknown {
            Some(step) => {
                self.apply(Event::Resolved { step, resolution: Resolution::NotApplied, by: person() });
            }
            None => self.apply(Event::Resumed { by: person(), databases: Vec::new() }),
        }
    }
}

fn inspected_and_counted(key: &StepKey) -> Outcome {
    let metrics = Some(Box::new(crate::baseline::tests::metrics(0, 14_400)));
    let database = key.database.to_string();
    let inspection = crate::report::Inspection { database, metrics, ..sample::inspection() };
    Outcome::Succeeded { report: StepReport::Inspected(inspection) }
}

fn connected() -> AgentPresence {
    AgentPresence::Connected("agent".parse().unwrap())
}

fn person() -> Actor {
    Actor::Operator("ada".parse().unwrap())
}

fn assert_success_is_true(deployment: &Deployment) {
    if deployment.outcome == Some(DeploymentOutcome::Succeeded) {
        for target in deployment.stages.iter().flat_map(|s| &s.targets) {
            assert!(target.is_migrated(), "succeeded without {}", target.database);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_deployment_that_keeps_receiving_answers_ends(
        rollback in any::<bool>(),
        down in any::<bool>(),
        rehearse in any::<bool>(),
        gates in 0_u8..5,
        counts in any::<bool>(),
        choices in prop::collection::vec(0_u8..=20, 0..120),
    ) {
        let on_failure = if rollback { "rollback" } else { "pause" };
        let mut simulation = Simulation::new(on_failure, down);
        if rehearse {
            simulation = rehearsal::simulation(on_failure, DeploymentKind::Migration);
        } else if gates == 1 {
            simulation = gates::simulation(on_failure);
        } else if gates == 2 {
            simulation = window::simulation(on_failure);
        } else if gates > 2 {
            simulation = hooks::simulation(on_failure, gates == 3);
        }
        simulation.counts = counts;
        simulation.settle();
        for choice in choices {
            simulation.happen(choice);
            assert_success_is_true(&simulation.deployment);
        }
        for _ in 0..250 {
            if simulation.deployment.outcome.is_some() {
                break;
            }
            simulation.happen(0);
        }
        prop_assert!(simulation.deployment.outcome.is_some(), "{:#?}", simulation.deployment);
        assert_success_is_true(&simulation.deployment);
        prop_assert!(decide(&simulation.deployment, &simulation.world, simulation.now).is_empty());
    }

    #[test]
    fn an_event_out_of_place_is_a_typed_error_and_changes_nothing(
        choices in prop::collection::vec(0_u8..=16, 0..60),
        places in prop::collection::vec((0_u32..4, 0_usize..12, 1_u32..4, 0_u8..19), 1..40),
    ) {
        let mut simulation = gates::simulation("rollback");
        simulation.settle();
        for choice in choices {
            simulation.happen(choice);
        }
        for (stage, step, attempt, kind) in places {
            let event = arbitrary_event(&simulation.deployment, stage, step, attempt, kind);
            let mut tried = simulation.deployment.clone();
            let seq = tried.seq.next();
            let record = Record { deployment: tried.id.clone(), seq, at: simulation.now, event };
            if tried.apply(&record).is_err() {
                prop_assert_eq!(&tried, &simulation.deployment);
            }
        }
    }
}

fn arbitrary_event(deployment: &Deployment, stage: u32, step: usize, attempt: u32, kind: u8) -> Event {
    let stage = StageIndex(stage);
    let database = "eu".parse().unwrap();
    let keys = deployment
        .stage(stage)
        .and_then(|s| s.targets.first())
        .map_or_else(|| vec![StepKey::target(stage, &database, StepKind::Inspect)], |t| t.keys(stage));
    let key = keys[step % keys.len()].clone();
    let attempt = Attempt(attempt);
    match kind {
        0 => Event::StageStarted { stage, databases: vec![database], waves: Vec::new() },
        1 => Event::StepStarted { step: key, attempt, epoch: Epoch(1), agent: "agent".parse().unwrap() },
        2 => Event::StepFinished { outcome: sample::success(&key, vec![]), step: key, attempt },
        3 => Event::SoakStarted { stage, until: sample::at(5) },
        4 => Event::StageFinished { stage, outcome: StageOutcome::Succeeded },
        5 => Event::StageFinished { stage, outcome: StageOutcome::RolledBack },
        6 => Event::Finished { outcome: DeploymentOutcome::Succeeded },
        7 => Event::RollbackStarted { stage, cause: "x".into(), by: person(), to: None },
        12 => Event::RollbackFailed { stage, cause: "x".into() },
        8 => Event::Resumed { by: person(), databases: Vec::new() },
        9 => Event::Resolved { step: key, resolution: Resolution::Applied, by: person() },
        10 => Event::CancelRequested { by: person() },
        13 => Event::Ticked { stage, item: "Team notified".into(), by: "ben".parse().unwrap() },
        14 => Event::StageRefreshed { stage, why: "x".into() },
        15 => Event::ApprovalsVoided { stage, why: "x".into() },
        16 => Event::HookStarted { stage, hook: "deploy".parse().unwrap(), attempt },
        17 => {
            let digest = deployment.plan_digest(stage).unwrap_or(deployment.digest);
            let by = "ben".parse().unwrap();
            Event::Approved { stage, by, groups: vec![], digest, reason: String::new() }
        }
        18 => Event::Rejected { stage, by: "ben".parse().unwrap(), groups: vec![], reason: "x".into() },
        _ => Event::StageFinished { stage, outcome: StageOutcome::Failed },
    }
}

fn start_keys(simulation: &Simulation) -> Vec<String> {
    let commands = decide(&simulation.deployment, &simulation.world, simulation.now);
    let started = |c: Command| match c {
        Command::Start { step, .. } => step.migration.map(|m| m.to_string()),
        _ => None,
    };
    commands.into_iter().filter_map(started).collect()
}

/// Heals until `stop` says so.
fn until(simulation: &mut Simulation, stop: impl Fn(&Deployment) -> bool) {
    for _ in 0..200 {
        if stop(&simulation.deployment) {
            return;
        }
        simulation.happen(0);
    }
    panic!("it never came to that: {:#?}", simulation.deployment);
}

fn running(simulation: &Simulation, kind: StepKind) -> Option<StepKey> {
    simulation.deployment.running_steps().into_iter().find(|k| k.kind == kind)
}

#[test]
fn all_goes_well_in_the_order_of_the_stages() {
    let mut simulation = Simulation::new("rollback", true);
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn a_failed_migration_with_effects_is_rolled_back_in_its_stage_and_goes_no_further() {
    let mut simulation = Simulation::new("rollback", true);
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    simulation.happen(8);
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
    assert_eq!(simulation.deployment.stages[1].status, StageStatus::Pending);
}

#[test]
fn a_transient_failure_is_tried_again_and_in_the_end_it_fails() {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    for _ in 0..MOST_TRIES {
        until(&mut simulation, |d| !d.running_steps().is_empty());
        simulation.happen(7);
    }
    assert!(matches!(simulation.deployment.waiting, Some(Waiting::Person { .. })));
    assert_eq!(simulation.deployment.stages[0].targets[0].inspect.attempts, MOST_TRIES);
}

#[test]
fn an_unknown_outcome_waits_for_a_person_even_where_failures_roll_back() {
    let mut simulation = Simulation::new("rollback", true);
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    let key = running(&simulation, StepKind::Migrate).unwrap();
    simulation.happen(12);
    until(&mut simulation, |d| d.waiting.is_some());
    assert!(matches!(simulation.deployment.waiting, Some(Waiting::Person { .. })));
    simulation.apply(Event::Resolved { step: key.clone(), resolution: Resolution::Applied, by: person() });
    simulation.settle();
    let step = simulation.deployment.step(&key).unwrap();
    assert!(step.is_running() && step.resolution == Some(Resolution::Applied));
}

#[test]
fn an_unknown_rollback_waits_for_a_person_and_goes_on_with_their_word() {
    let mut simulation = Simulation::new("rollback", true);
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    simulation.happen(8);
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Rollback));
    let key = running(&simulation, StepKind::Rollback).unwrap();
    simulation.happen(12);
    assert!(
        matches!(&simulation.deployment.waiting, Some(Waiting::Person { cause }) if cause.contains("UNKNOWN"))
    );
    simulation.apply(Event::Resolved { step: key.clone(), resolution: Resolution::Applied, by: person() });
    simulation.settle();
    let step = simulation.deployment.step(&key).unwrap();
    assert!(step.is_running() && step.resolution == Some(Resolution::Applied));
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
}

#[test]
fn an_environment_without_agent_is_named_while_it_is_waited_for() {
    let mut simulation = Simulation::new("pause", true);
    let staging: EnvironmentName = "staging".parse().unwrap();
    simulation.world.environments.get_mut(&staging).unwrap().databases.clear();
    simulation.settle();
    let waiting = Waiting::NoAgent { environment: staging.clone(), database: None };
    assert_eq!(simulation.deployment.waiting, Some(waiting));
    simulation
        .world
        .environments
        .get_mut(&staging)
        .unwrap()
        .databases
        .insert("eu".parse().unwrap(), connected());
    simulation.settle();
    assert_eq!(simulation.deployment.waiting, None);
    assert!(running(&simulation, StepKind::Inspect).is_some());
}

#[test]
fn a_monitor_that_does_not_hold_stops_the_promotion() {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Monitor));
    let key = running(&simulation, StepKind::Monitor).unwrap();
    let StepState::Running { attempt, .. } = simulation.deployment.step(&key).unwrap().state else {
        panic!()
    };
    let check = CheckResult {
        name: "quiet".into(),
        passed: false,
        unanswered: false,
        expected: "0".into(),
        observed: "3".into(),
        note: None,
        took: std::time::Duration::ZERO,
    };
    let report = Some(StepReport::Verified(VerifyReport { checks: vec![check] }));
    let error = StepError::new(ErrorClass::Check, "1 of 1 monitors failed");
    simulation.world.in_flight.clear();
    simulation.apply(Event::StepFinished { step: key, attempt, outcome: Outcome::Failed { error, report } });
    simulation.settle();
    until(&mut simulation, |d| matches!(d.waiting, Some(Waiting::Person { .. })));
    assert!(
        matches!(&simulation.deployment.waiting, Some(Waiting::Person { cause }) if cause.contains("monitors"))
    );
}

#[test]
fn the_soak_ends_after_its_time_and_a_last_look_of_every_monitor() {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    until(&mut simulation, |d| matches!(d.stages[0].status, StageStatus::Ended { .. }));
    let staging = &simulation.deployment.stages[0];
    for target in &staging.targets {
        let last = target.migrations[0].evidence["quiet"].last.unwrap().at;
        let StageStatus::Ended { at, .. } = staging.status else { panic!() };
        assert!(last >= at.checked_sub(std::time::Duration::from_secs(2)).unwrap());
        assert!(target.migrations[0].monitor.attempts >= 3, "at the start, between, and at the end");
    }
}

#[test]
fn a_cancelled_migration_whose_agent_is_away_is_unknown() {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    let key = running(&simulation, StepKind::Migrate).unwrap();
    simulation.agents_leave();
    simulation.apply(Event::CancelRequested { by: person() });
    simulation.settle();
    assert!(matches!(simulation.deployment.step(&key).unwrap().state, StepState::Unknown { .. }));
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Cancelled));
}

#[test]
fn one_blip_in_a_long_soak_is_tried_again_however_often_the_monitor_has_run() {
    let mut simulation = Simulation::new("rollback", true);
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Monitor));
    let key = running(&simulation, StepKind::Monitor).unwrap();
    for _ in 0..2 * MOST_TRIES {
        let attempt = Attempt(simulation.deployment.step(&key).unwrap().attempts);
        let outcome = sample::success(&key, vec![]);
        simulation.world.in_flight.clear();
        simulation.apply(Event::StepFinished { step: key.clone(), attempt, outcome });
        simulation.apply(Event::StepStarted {
            step: key.clone(),
            attempt: Attempt(attempt.0 + 1),
            epoch: Epoch(90),
            agent: "agent".parse().unwrap(),
        });
    }
    simulation.settle();
    simulation.happen(7);
    let waiting = &simulation.deployment.waiting;
    assert!(matches!(waiting, Some(Waiting::Soak { .. })), "{waiting:?}");
    assert!(simulation.deployment.paused.is_none());
}

#[test]
fn what_an_attempt_may_have_left_is_not_forgotten_when_the_next_is_refused() {
    let mut simulation = Simulation::new("rollback", true);
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    let key = running(&simulation, StepKind::Migrate).unwrap();
    simulation.happen(11);
    until(&mut simulation, |d| d.running_steps().contains(&key));
    // The agent's set-up: refused before it looked at the database.
    simulation.happen(10);
    assert!(simulation.deployment.stages[0].has_effects());
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
}

#[test]
fn a_cancelled_rollback_can_be_asked_for_again() {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    let stage = StageIndex(1);
    let again = || Event::RollbackStarted { stage, cause: "asked for".into(), by: person(), to: None };
    simulation.apply(again());
    simulation.settle();
    simulation.apply(Event::CancelRequested { by: person() });
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Cancelled));
    simulation.apply(again());
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
}

#[test]
fn staging_can_be_taken_back_after_a_cancellation_in_production_which_then_does_not_go_on() {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.stage == StageIndex(1)));
    simulation.apply(Event::CancelRequested { by: person() });
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    let stage = StageIndex(0);
    simulation.apply(Event::RollbackStarted { stage, cause: "asked for".into(), by: person(), to: None });
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
    assert!(simulation.deployment.stages[1].targets.iter().all(|t| t.migrations[0].migrate.attempts == 0));
}

#[test]
fn a_failed_rollback_is_the_outcome_whatever_another_stage_came_to() {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    for (stage, choice) in [(StageIndex(1), 10), (StageIndex(0), 0)] {
        simulation.apply(Event::RollbackStarted { stage, cause: "asked for".into(), by: person(), to: None });
        simulation.settle();
        simulation.happen(choice);
        if simulation.deployment.stages[1].rollback_failed() {
            simulation.apply(Event::CancelRequested { by: person() });
            simulation.settle();
        }
        until(&mut simulation, |d| d.outcome.is_some());
    }
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RollbackFailed));
}

#[test]
fn a_rollback_after_success_takes_the_named_stage_back_only() {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    let stage = simulation.deployment.last_stage_with_effects().unwrap();
    assert_eq!(stage, StageIndex(1));
    simulation.apply(Event::RollbackStarted { stage, cause: "asked for".into(), by: person(), to: None });
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
    assert!(simulation.deployment.stages[0].has_effects());
    assert!(!simulation.deployment.stages[1].has_effects());
}

#[test]
fn an_agent_that_queues_gets_the_migrations_that_nobody_has_to_look_between() {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    let migrates = |s: &Simulation| {
        let keys = s.deployment.running_steps();
        keys.into_iter().filter(|k| k.kind == StepKind::Migrate).collect::<Vec<_>>()
    };
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    let keys = migrates(&simulation);
    assert_eq!(keys.len(), 3);
    let behind: Vec<_> = keys.iter().map(|k| simulation.step(k).is_behind()).collect();
    assert_eq!(behind, [false, true, true]);
    simulation.answer(&keys[0], 0);
    assert!(!simulation.step(&keys[1]).is_behind(), "its turn has come");
    assert!(simulation.step(&keys[2]).is_behind());

    // What the second leaves behind is a person's; the third is not begun, and as if it had never been asked for.
    simulation.answer(&keys[1], 8);
    simulation.settle();
    assert!(simulation.deployment.paused.is_none(), "the third is still to be heard of");
    simulation.answer(&keys[2], 0);
    simulation.settle();
    assert!(simulation.deployment.paused.is_some());
    let third = simulation.step(&keys[2]);
    assert!(third.is_pending() && third.tries == 0 && third.attempts == 1);
    let stage = simulation.deployment.stage(StageIndex(0)).unwrap();
    assert!(!stage.targets[0].migrations[2].has_effect());
    simulation.apply(Event::Resumed { by: person(), databases: Vec::new() });
    assert_eq!(start_keys(&simulation), ["002_b", "003_c"]);
}

#[test]
fn an_agent_that_does_not_queue_gets_one_at_a_time() {
    let mut simulation = Simulation::new("pause", true);
    simulation.world.environments.values_mut().for_each(|e| e.queueing.clear());
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    assert_eq!(simulation.deployment.running_steps().len(), 1);
}

#[test]
fn a_pause_withdraws_what_has_not_its_turn() {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    simulation.person_pauses();
    let commands = decide(&simulation.deployment, &simulation.world, simulation.now);
    let withdrawn = commands.iter().filter(|c| matches!(c, Command::Withdraw { .. })).count();
    assert_eq!(withdrawn, 2);
    assert!(!commands.iter().any(|c| matches!(c, Command::CancelStep { .. })), "the first goes on");
}
