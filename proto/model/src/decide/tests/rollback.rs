//! Taking stages back: as a unit, in part, and where that fails.

use super::*;
use crate::deployment::IllegalEvent;
use crate::quarantine::{QuarantineChange, Quarantined};

/// The first stage's database whose migrations are taken back first.
const LAST: &str = "us";

fn through() -> Simulation {
    let mut simulation = Simulation::new("pause", true);
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    simulation
}

fn asked(stage: u32, to: Option<&str>) -> Event {
    let to = to.map(|id| id.parse().unwrap());
    Event::RollbackStarted { stage: StageIndex(stage), cause: "asked for".into(), by: person(), to }
}

impl Simulation {
    pub(super) fn refused(&self, event: Event) -> IllegalEvent {
        let deployment = self.deployment.id.clone();
        let record = Record { deployment, seq: self.deployment.seq.next(), at: self.now, event };
        self.deployment.clone().apply(&record).unwrap_err()
    }

    /// Answers until the rollback of this migration runs, then with what fails for good.
    fn fail_rollback_of(&mut self, migration: &str) -> StepKey {
        let wanted = |k: &StepKey| {
            k.kind == StepKind::Rollback && k.migration.as_ref().is_some_and(|m| m.as_str() == migration)
        };
        until(self, |d| d.running_steps().iter().any(wanted));
        let key = self.deployment.running_steps().into_iter().find(wanted).unwrap();
        self.happen(8);
        key
    }

    fn standing(&self, stage: usize, database: &str) -> Vec<String> {
        let stage = &self.deployment.stages[stage];
        let target = stage.target(&database.parse().unwrap()).unwrap();
        let standing = target.migrations.iter().filter(|m| m.has_effect());
        standing.map(|m| m.id.to_string()).collect()
    }
}

#[test]
fn a_unit_that_stops_in_the_middle_says_what_stands_and_waits_with_its_environment() {
    let mut simulation = through();
    simulation.apply(asked(0, None));
    simulation.settle();
    let key = simulation.fail_rollback_of("002_b");
    let stage = &simulation.deployment.stages[0];
    assert!(stage.rollback_failed() && stage.is_open() && simulation.deployment.outcome.is_none());
    assert!(
        matches!(&stage.status, StageStatus::RollbackFailed { cause, .. } if cause.contains("002_b in us"))
    );
    assert!(
        matches!(&simulation.deployment.waiting, Some(Waiting::Person { cause }) if cause.contains("002_b"))
    );
    assert_eq!(simulation.standing(0, LAST), ["001_a", "002_b"], "the third is back");
    assert_eq!(simulation.standing(0, "eu").len(), 3, "its turn had not come");
    assert_eq!(simulation.deployment.failed_rollbacks(), [key]);

    simulation.apply(Event::Resumed { by: person(), databases: Vec::new() });
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
    assert!(!simulation.deployment.stages[0].has_effects());
}

#[test]
fn what_a_person_took_back_by_hand_is_only_booked() {
    let mut simulation = through();
    simulation.apply(asked(0, None));
    simulation.settle();
    let key = simulation.fail_rollback_of("003_c");
    simulation.apply(Event::Resolved { step: key.clone(), resolution: Resolution::Applied, by: person() });
    simulation.settle();
    let step = simulation.deployment.step(&key).unwrap();
    assert!(step.is_running() && step.by_hand == Some(person()), "{step:?}");
    simulation.answer(&key, 0);
    assert_eq!(simulation.deployment.step(&key).unwrap().by_hand, None, "it was about one attempt");
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
}

#[test]
fn a_failed_rollback_that_is_not_there_is_tried_again() {
    let mut simulation = through();
    simulation.apply(asked(0, None));
    simulation.settle();
    let key = simulation.fail_rollback_of("003_c");
    let other = StepKey { kind: StepKind::Migrate, ..key.clone() };
    let resolved = |step| Event::Resolved { step, resolution: Resolution::NotApplied, by: person() };
    assert!(matches!(simulation.refused(resolved(other)), IllegalEvent::Step { .. }), "its outcome is known");
    simulation.apply(resolved(key.clone()));
    simulation.settle();
    let step = simulation.deployment.step(&key).unwrap();
    assert!(step.is_running() && step.by_hand.is_none());
}

#[test]
fn a_rollback_that_is_given_up_has_failed_and_frees_the_environment() {
    let mut simulation = through();
    simulation.apply(asked(1, None));
    simulation.settle();
    simulation.fail_rollback_of("001_a");
    assert!(matches!(simulation.refused(asked(0, None)), IllegalEvent::Stage { .. }), "production is open");
    simulation.apply(Event::CancelRequested { by: person() });
    assert_eq!(
        simulation.refused(Event::Resumed { by: person(), databases: Vec::new() }),
        IllegalEvent::Cancelling
    );
    simulation.settle();
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RollbackFailed));
    assert!(simulation.deployment.stages.iter().all(|s| !s.is_open()));
    // Both can be asked for again.
    for stage in [0, 1] {
        simulation.apply(asked(stage, None));
        simulation.settle();
        until(&mut simulation, |d| d.outcome.is_some());
    }
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
    assert!(simulation.deployment.stages.iter().all(|s| !s.has_effects()));
}

#[test]
fn a_backup_that_fails_before_the_rollback_leaves_everything_as_it_is() {
    let mut simulation = through();
    simulation.apply(asked(1, None));
    simulation.settle();
    simulation.happen(10);
    let stage = &simulation.deployment.stages[1];
    assert!(matches!(&stage.status, StageStatus::RollbackFailed { cause, .. }
        if cause.starts_with("the backup of main before the rollback failed")));
    assert_eq!(simulation.standing(1, "main").len(), 3);
    assert!(simulation.deployment.failed_rollbacks().is_empty());
    // Asking for it anew is as good as going on.
    simulation.apply(asked(1, None));
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
}

#[test]
fn a_migration_that_is_named_stays_with_those_before_it() {
    let mut simulation = through();
    let nothing = simulation.refused(asked(0, Some("003_c")));
    assert!(
        matches!(&nothing, IllegalEvent::NothingBehind { migration, .. } if migration.as_str() == "003_c")
    );
    let unknown = simulation.refused(asked(0, Some("009_z"))).to_string();
    assert!(unknown.ends_with("its migrations are 001_a, 002_b, 003_c"), "{unknown}");

    simulation.apply(asked(0, Some("001_a")));
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
    for database in ["eu", LAST] {
        assert_eq!(simulation.standing(0, database), ["001_a"]);
    }
    assert_eq!(simulation.deployment.stages[0].rolled_back_to().unwrap().as_str(), "001_a");
    // What stays can be taken back later.
    simulation.apply(asked(0, None));
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert!(!simulation.deployment.stages[0].has_effects());
}

#[test]
fn what_stays_needs_no_way_back() {
    let mut simulation = Simulation::new("pause", false);
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert!(matches!(simulation.refused(asked(0, None)), IllegalEvent::NoDown { .. }));
    simulation.apply(asked(0, Some("001_a")));
    simulation.settle();
    until(&mut simulation, |d| d.outcome.is_some());
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack));
}

#[test]
fn a_failed_verification_and_a_failed_monitor_roll_back_where_the_stage_says_so() {
    for kind in [StepKind::Verify, StepKind::Monitor] {
        let mut simulation = Simulation::checked("rollback");
        simulation.settle();
        until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == kind));
        simulation.happen(9);
        until(&mut simulation, |d| d.outcome.is_some());
        assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RolledBack), "{kind}");
        let rollback = simulation.deployment.stages[0].rollback.clone().unwrap();
        assert_eq!((rollback.by, rollback.to), (Actor::Pipeline, None));
        assert_eq!(simulation.deployment.stages[1].status, StageStatus::Pending);
    }
}

#[test]
fn what_was_rolled_back_is_planned_again_only_on_somebodys_word() {
    for again in [None, Some("the cause is mended")] {
        let mut simulation = Simulation::again(again);
        let migration = &simulation.deployment.migrations[1];
        simulation.world.quarantined = vec![Quarantined {
            environment: "staging".parse().unwrap(),
            digest: migration.digest,
            migration: migration.id.clone(),
            deployment: "0123456789".parse().unwrap(),
            at: sample::at(0),
            by: person(),
            cause: "errors rose".into(),
        }];
        simulation.settle();
        until(&mut simulation, |d| d.outcome.is_some() || d.paused.is_some());
        let refused = simulation.deployment.stages[0].targets.iter().find_map(|t| t.refused.clone());
        match again {
            Some(_) => assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded)),
            None => assert!(refused.unwrap().message.contains("002_b with this content was rolled back")),
        }
    }
}

#[test]
fn a_rollback_puts_its_content_under_quarantine_and_a_person_lifts_it() {
    let mut simulation = Simulation::again(Some("mended"));
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Migrate));
    let key = running(&simulation, StepKind::Migrate).unwrap();
    simulation.answer(&key, 0);
    let (environment, digest) = ("staging".parse().unwrap(), simulation.deployment.migrations[0].digest);
    let lifted = QuarantineChange::Lift { environment, digest };
    assert_eq!(simulation.deployment.quarantine_change(&key), Some(lifted));

    let mut simulation = through();
    let migrate = StepKey::migration(
        StageIndex(1),
        &"main".parse().unwrap(),
        StepKind::Migrate,
        &"003_c".parse().unwrap(),
    );
    assert_eq!(simulation.deployment.quarantine_change(&migrate), None, "nobody said again");
    simulation.apply(asked(1, None));
    simulation.settle();
    until(&mut simulation, |d| d.running_steps().iter().any(|k| k.kind == StepKind::Rollback));
    let key = running(&simulation, StepKind::Rollback).unwrap();
    simulation.answer(&key, 0);
    let Some(QuarantineChange::Put(put)) = simulation.deployment.quarantine_change(&key) else { panic!() };
    assert_eq!((put.environment.as_str(), put.migration.as_str()), ("production", "003_c"));
    assert_eq!((put.by, put.cause.as_str()), (person(), "asked for"));
}

#[test]
fn a_log_of_before_there_was_a_state_for_it_ends_with_the_failure() {
    let mut simulation = through();
    simulation.apply(asked(1, None));
    let stage = StageIndex(1);
    simulation.apply(Event::StageFinished { stage, outcome: StageOutcome::RollbackFailed });
    simulation.settle();
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::RollbackFailed));
    let old = r#"{"event":"rollback_started","stage":0,"cause":"x","by":"pipeline"}"#;
    let Event::RollbackStarted { to, .. } = serde_json::from_str(old).unwrap() else { panic!() };
    assert_eq!(to, None);
}
