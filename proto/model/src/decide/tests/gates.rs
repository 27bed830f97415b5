//! Stages that people open: what is waited for, who may open it, and what becomes of that when the plan changes.

use std::time::Duration;

use super::*;
use crate::deployment::IllegalEvent;
use crate::digest::Digest;
use crate::gate::{GateRefusal, GateWait};
use crate::id::OperatorName;
use crate::pipeline::{ApprovalSettings, Approver, Pipeline};

const PRODUCTION: StageIndex = StageIndex(1);

/// A deployment by ada whose production needs an approval and has a checklist.
pub(super) fn simulation(on_failure: &str) -> Simulation {
    with(on_failure, |_| ())
}

pub(super) fn with(on_failure: &str, change: impl Fn(&mut Pipeline)) -> Simulation {
    let migrations = vec![sample::migration("001_a", true, false), sample::migration("002_b", true, false)];
    let mut pipeline = sample::pipeline(on_failure);
    let production = &mut pipeline.stages[1];
    production.approvals = ApprovalSettings { needed: 1, approvers: Vec::new() };
    production.checklist = vec!["Team notified".into(), "Dashboards open".into()];
    change(&mut pipeline);
    Simulation::of(&sample::created(pipeline, migrations))
}

/// The same, in front of production's gates.
pub(super) fn waiting(change: impl Fn(&mut Pipeline)) -> Simulation {
    let mut simulation = with("pause", change);
    simulation.settle();
    until(&mut simulation, waits);
    simulation
}

fn waits(deployment: &Deployment) -> bool {
    matches!(deployment.waiting, Some(Waiting::Gates { .. }))
}

pub(super) fn name(name: &str) -> OperatorName {
    name.parse().unwrap()
}

impl Simulation {
    pub(super) fn refusal(&self, event: Event) -> Option<IllegalEvent> {
        let seq = self.deployment.seq.next();
        let record = Record { deployment: self.deployment.id.clone(), seq, at: self.now, event };
        self.deployment.clone().apply(&record).err()
    }

    fn closed(&self) -> Vec<GateWait> {
        match &self.deployment.waiting {
            Some(Waiting::Gates { gates, .. }) => gates.clone(),
            _ => Vec::new(),
        }
    }

    fn approval(&self, by: &str, groups: &[&str]) -> Event {
        let digest = self.deployment.plan_digest(PRODUCTION).unwrap_or(self.deployment.digest);
        approval(by, groups, digest)
    }

    fn tick(&mut self, item: &str) {
        self.apply(Event::Ticked { stage: PRODUCTION, item: item.into(), by: name("ada") });
        self.settle();
    }

    fn approve(&mut self, by: &str) {
        let event = self.approval(by, &[]);
        self.apply(event);
        self.settle();
    }

    fn later(&mut self, by: Duration) {
        self.now = self.now.checked_add(by).unwrap();
        self.settle();
    }

    /// What people do at gates, where it is legal; 0 is what opens one.
    pub(super) fn person_at_the_gates(&mut self, choice: u8) {
        let stage = PRODUCTION;
        let item = |n: usize| Event::Ticked {
            stage,
            item: ["Team notified", "Dashboards open"][n].into(),
            by: name("ada"),
        };
        let hooks = self.words_on_hooks(choice);
        let events = match choice {
            _ if !hooks.is_empty() => hooks,
            0 => vec![item(0), item(1), self.approval("ben", &[])],
            1 => vec![self.approval("ben", &[])],
            2 => vec![Event::Rejected { stage, by: name("carl"), groups: vec![], reason: "no".into() }],
            3 => vec![item(0)],
            _ => {
                self.now = self.now.checked_add(Duration::from_hours(1)).unwrap();
                Vec::new()
            }
        };
        for event in events {
            if self.refusal(event.clone()).is_none() {
                self.apply(event);
            }
        }
    }
}

fn approval(by: &str, groups: &[&str], digest: Digest) -> Event {
    let groups = groups.iter().map(|g| g.parse().unwrap()).collect();
    Event::Approved { stage: PRODUCTION, by: name(by), groups, digest, reason: "seen".into() }
}

pub(super) fn refused(simulation: &Simulation, event: Event) -> GateRefusal {
    match simulation.refusal(event) {
        Some(IllegalEvent::Gate(refusal)) => refusal,
        other => panic!("it was not refused by a gate: {other:?}"),
    }
}

#[test]
fn everything_that_is_missing_is_said_at_once_and_nothing_is_touched_before_it_is_there() {
    let mut simulation = waiting(|_| ());
    assert_eq!(
        simulation.closed(),
        [
            GateWait::Approvals { have: 0, need: 1, approvers: vec![] },
            GateWait::Checklist { items: vec!["Team notified".into(), "Dashboards open".into()] },
        ]
    );
    let since = simulation.deployment.waiting_since;
    let target = &simulation.deployment.stages[1].targets[0];
    assert!(target.plan.is_some() && target.backup.is_pending());
    simulation.tick("team notified");
    assert_eq!(simulation.closed().len(), 2);
    simulation.approve("ben");
    assert_eq!(simulation.closed(), [GateWait::Checklist { items: vec!["Dashboards open".into()] }]);
    assert_eq!(simulation.deployment.waiting_since, since);
    simulation.tick("Dashboards open");
    assert!(running(&simulation, StepKind::Backup).is_some());
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn nobody_approves_their_own_nor_twice() {
    let two = |pipeline: &mut Pipeline| pipeline.stages[1].approvals.needed = 2;
    let mut simulation = waiting(two);
    let own = refused(&simulation, simulation.approval("ada", &["dba"]));
    assert_eq!(
        own.to_string(),
        "ada created this deployment, and nobody approves or rejects their own; anybody else with a token could"
    );
    simulation.approve("ben");
    let twice = refused(&simulation, simulation.approval("ben", &["another-token"]));
    assert!(matches!(twice, GateRefusal::Twice { have: 1, need: 2, .. }), "{twice}");
    simulation.approve("carl");
    assert_eq!(simulation.closed().len(), 1);
}

#[test]
fn only_those_who_are_named_may_and_the_refusal_says_who() {
    let simulation = waiting(|pipeline| {
        let approvers = vec![Approver::Person(name("anna")), Approver::Group("dba".parse().unwrap())];
        pipeline.stages[1].approvals.approvers = approvers;
    });
    let refusal = refused(&simulation, simulation.approval("ben", &["web"]));
    assert_eq!(
        refusal.to_string(),
        "ben is not one of those who approve in production; anna or somebody of the group dba could"
    );
    assert_eq!(simulation.refusal(simulation.approval("ben", &["dba"])), None);
    assert_eq!(simulation.refusal(simulation.approval("anna", &[])), None);
    let reject = Event::Rejected { stage: PRODUCTION, by: name("ben"), groups: vec![], reason: "x".into() };
    assert!(matches!(refused(&simulation, reject), GateRefusal::NotAnApprover { .. }));
}

#[test]
fn an_approval_is_of_what_was_seen() {
    let mut simulation = with("pause", |_| ());
    simulation.settle();
    let early = refused(&simulation, simulation.approval("ben", &[]));
    assert!(matches!(early, GateRefusal::NotPlanned { .. }), "{early}");
    until(&mut simulation, waits);
    let other = refused(&simulation, approval("ben", &[], simulation.deployment.digest));
    assert!(matches!(other, GateRefusal::OtherDigest { .. }), "{other}");
    simulation.approve("ben");
    simulation.tick("Team notified");
    simulation.tick("Dashboards open");
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    let late = refused(&simulation, simulation.approval("carl", &[]));
    assert!(matches!(late, GateRefusal::Begun { .. }), "{late}");
    let staging = Event::Approved {
        stage: StageIndex(0),
        by: name("ben"),
        groups: vec![],
        digest: simulation.deployment.digest,
        reason: String::new(),
    };
    assert!(matches!(refused(&simulation, staging), GateRefusal::NeedsNone { .. }));
}

#[test]
fn what_lies_long_is_looked_at_again_and_the_same_plan_stays_approved() {
    let mut simulation = waiting(|_| ());
    simulation.approve("ben");
    simulation.tick("Team notified");
    simulation.later(Duration::from_hours(3));
    assert!(simulation.deployment.running_steps().is_empty(), "not before the gates open");
    simulation.tick("Dashboards open");
    assert!(running(&simulation, StepKind::Inspect).is_some());
    until(&mut simulation, |d| d.outcome.is_some());
    let production = &simulation.deployment.stages[1];
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
    assert_eq!((production.gates.approvals.len(), production.targets[0].inspect.attempts), (1, 2));
}

#[test]
fn a_plan_that_changes_has_to_be_approved_again() {
    let mut simulation = waiting(|_| ());
    simulation.approve("ben");
    simulation.tick("Team notified");
    simulation.later(Duration::from_mins(11));
    simulation.tick("Dashboards open");
    let key = running(&simulation, StepKind::Inspect).unwrap();
    let mut inspection = sample::inspection();
    inspection.tables[0].rows = 120;
    let attempt = Attempt(simulation.step(&key).attempts);
    let outcome = Outcome::Succeeded { report: StepReport::Inspected(inspection) };
    simulation.world.in_flight.clear();
    simulation.apply(Event::StepFinished { step: key, attempt, outcome });
    simulation.settle();
    assert_eq!(simulation.closed(), [GateWait::Approvals { have: 0, need: 1, approvers: vec![] }]);
    let voided = simulation.deployment.stages[1].gates.voided.clone().unwrap();
    assert_eq!(
        voided.why,
        "the plan has changed: users has 120 rows, from 100 on the batched script runs, so that up.batch.sql of 001_a \
         would run in main instead of up.sql"
    );
    // The one who had approved it does so again.
    simulation.approve("ben");
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn drift_that_came_meanwhile_voids_an_approval_too() {
    let mut simulation = waiting(|pipeline| pipeline.stages[1].checklist.clear());
    let before = simulation.deployment.plan_digest(PRODUCTION).unwrap();
    let targets = &mut simulation.deployment.stages[1].targets;
    let target = targets.named_mut(&"main".parse().unwrap()).unwrap();
    let mut inspection = sample::inspection();
    inspection.drift = Some(Box::new(crate::drift::tests::drift()));
    let at = sample::at(60);
    target.inspect.state = StepState::Succeeded { since: at, at, report: StepReport::Inspected(inspection) };
    assert_ne!(simulation.deployment.plan_digest(PRODUCTION).unwrap(), before);
    simulation.deployment.stages[1].spec.drift.policy = crate::pipeline::DriftPolicy::Allow;
    assert_eq!(simulation.deployment.plan_digest(PRODUCTION).unwrap(), before, "where it counts");
}

#[test]
fn a_stage_that_rehearses_shows_that_first_and_rehearses_again_only_what_has_changed() {
    let rehearsing = |pipeline: &mut Pipeline| pipeline.stages[1].rehearse = true;
    for (rows, rehearsals) in [(50, 1), (120, 2)] {
        let mut simulation = waiting(rehearsing);
        assert!(simulation.deployment.stages[1].targets[0].rehearse.succeeded());
        simulation.approve("ben");
        simulation.tick("Team notified");
        simulation.later(Duration::from_hours(1));
        simulation.tick("Dashboards open");
        let key = running(&simulation, StepKind::Inspect).unwrap();
        let mut inspection = sample::inspection();
        inspection.tables[0].rows = rows;
        let attempt = Attempt(simulation.step(&key).attempts);
        let outcome = Outcome::Succeeded { report: StepReport::Inspected(inspection) };
        simulation.world.in_flight.clear();
        simulation.apply(Event::StepFinished { step: key, attempt, outcome });
        simulation.settle();
        until(&mut simulation, |d| d.outcome.is_some());
        let target = &simulation.deployment.stages[1].targets[0];
        assert_eq!((target.rehearse.attempts, target.backup.attempts), (rehearsals, 2));
        assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
    }
}

#[test]
fn a_no_holds_the_deployment_and_what_others_said_before_no_longer_counts() {
    let mut simulation = waiting(|_| ());
    simulation.approve("ben");
    let no = |by: &str| Event::Rejected {
        stage: PRODUCTION,
        by: name(by),
        groups: vec![],
        reason: "not on a Friday".into(),
    };
    assert!(matches!(refused(&simulation, no("ada")), GateRefusal::Own { .. }));
    simulation.apply(no("carl"));
    simulation.settle();
    let cause = "carl rejected it in production: not on a Friday";
    assert_eq!(simulation.deployment.waiting, Some(Waiting::Person { cause: cause.into() }));
    simulation.tick("Team notified");
    simulation.tick("Dashboards open");
    simulation.apply(Event::Resumed { by: person(), databases: Vec::new() });
    simulation.settle();
    assert_eq!(simulation.closed(), [GateWait::Approvals { have: 0, need: 1, approvers: vec![] }]);
    simulation.approve("carl");
    assert!(running(&simulation, StepKind::Backup).is_some());
}

#[test]
fn an_item_that_is_none_is_refused_with_the_nearest_one() {
    let mut simulation = waiting(|_| ());
    let tick = |item: &str| Event::Ticked { stage: PRODUCTION, item: item.into(), by: name("ben") };
    let refusal = refused(&simulation, tick("Team notfied"));
    assert_eq!(
        refusal.to_string(),
        "the checklist of production has no item `Team notfied`; did you mean `Team notified`?"
    );
    let refusal = refused(&simulation, tick("coffee"));
    assert!(refusal.to_string().ends_with("; it has `Team notified`, `Dashboards open`"), "{refusal}");
    simulation.tick("Team notified");
    let refusal = refused(&simulation, tick("TEAM NOTIFIED"));
    assert_eq!(refusal.to_string(), "`Team notified` was ticked already, by ada");
}

#[test]
fn a_log_in_which_a_gate_was_passed_by_is_refused() {
    let simulation = waiting(|_| ());
    let backup = StepKey::target(PRODUCTION, &"main".parse().unwrap(), StepKind::Backup);
    let mut passed = simulation.deployment.clone();
    let (attempt, agent) = (Attempt(1), "agent".parse().unwrap());
    let started = Event::StepStarted { step: backup.clone(), attempt, epoch: Epoch(9), agent };
    let finished = Event::StepFinished { outcome: sample::success(&backup, vec![]), step: backup, attempt };
    for event in [started, finished] {
        let seq = passed.seq.next();
        passed.apply(&Record { deployment: passed.id.clone(), seq, at: simulation.now, event }).unwrap();
    }
    let step = StepKey::migration(
        PRODUCTION,
        &"main".parse().unwrap(),
        StepKind::Migrate,
        &passed.migrations[0].id.clone(),
    );
    let event = Event::StepStarted { step, attempt, epoch: Epoch(10), agent: "agent".parse().unwrap() };
    let seq = passed.seq.next();
    let record = Record { deployment: passed.id.clone(), seq, at: simulation.now, event };
    let refused = passed.apply(&record);
    assert!(
        matches!(&refused, Err(IllegalEvent::Step { why, .. }) if why.contains("gates are closed")),
        "{refused:?}"
    );
}

#[test]
fn where_nothing_is_applied_nobody_is_asked() {
    let mut simulation = with("pause", |_| ());
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.stage == PRODUCTION));
    let key = running(&simulation, StepKind::Inspect).unwrap();
    let mut inspection = sample::inspection();
    inspection.ledger = simulation
        .deployment
        .migrations
        .iter()
        .map(|m| crate::report::LedgerEntry {
            migration: m.id.clone(),
            digest: m.digest,
            variant: crate::plan::Variant::Standard,
            deployment: simulation.deployment.id.clone(),
            state: crate::report::LedgerState::Applied,
            at: sample::at(0),
            origin: None,
        })
        .collect();
    let outcome = Outcome::Succeeded { report: StepReport::Inspected(inspection) };
    simulation.world.in_flight.clear();
    simulation.apply(Event::StepFinished { step: key, attempt: Attempt(1), outcome });
    simulation.settle();
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn a_rehearsal_by_itself_has_no_gates() {
    let pipeline = simulation("pause").deployment.pipeline;
    let rehearsal = Pipeline::rehearsal(Some(pipeline), &"production".parse().unwrap(), &[], false).unwrap();
    assert!(!crate::gate::has_gates(&rehearsal.stages[0]));
}
