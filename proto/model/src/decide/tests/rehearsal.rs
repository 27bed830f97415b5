//! Stages that rehearse, and deployments that do nothing else.

use super::*;
use crate::pipeline::Pipeline;

/// A deployment of which every stage rehearses.
pub(super) fn simulation(on_failure: &str, kind: DeploymentKind) -> Simulation {
    let migrations = vec![sample::migration("001_a", true, false), sample::migration("002_b", true, false)];
    let mut pipeline = sample::pipeline(on_failure);
    if kind == DeploymentKind::Rehearsal {
        let staging = "staging".parse().unwrap();
        pipeline = Pipeline::rehearsal(Some(pipeline), &staging, &[], false).unwrap();
    }
    pipeline.stages.iter_mut().for_each(|stage| stage.rehearse = true);
    let mut record = sample::created(pipeline, migrations);
    if let Event::Created { kind: created, .. } = &mut record.event {
        *created = kind;
    }
    Simulation::of(&record)
}

/// The steps in the order in which they begin, where all goes well.
fn steps_of(mut simulation: Simulation) -> (Vec<StepKey>, Simulation) {
    let mut steps: Vec<StepKey> = Vec::new();
    simulation.settle();
    for _ in 0..150 {
        for step in &simulation.world.in_flight {
            if !steps.contains(step) {
                steps.push(step.clone());
            }
        }
        simulation.happen(0);
    }
    (steps, simulation)
}

fn fail(mut simulation: Simulation, kind: StepKind) -> Simulation {
    simulation.settle();
    for _ in 0..30 {
        let next = simulation.world.in_flight.iter().next().cloned();
        let choice = if next.is_some_and(|key| key.kind == kind) { 9 } else { 0 };
        simulation.happen(choice);
        if choice == 9 {
            return simulation;
        }
    }
    panic!("no {kind} came")
}

#[test]
fn a_rehearsal_comes_behind_the_backup_and_before_the_first_migration() {
    let (steps, simulation) = steps_of(simulation("pause", DeploymentKind::Migration));
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
    let main = "main".parse().unwrap();
    let kinds: Vec<StepKind> = steps.iter().filter(|s| s.database == main).map(|s| s.kind).collect();
    let expected =
        [StepKind::Inspect, StepKind::Backup, StepKind::Rehearse, StepKind::Migrate, StepKind::Migrate];
    assert_eq!(kinds, expected);
    let target = &simulation.deployment.stages[1].targets[0];
    assert!(target.rehearsal().is_some());
    assert!(target.rehearsed(&"001_a".parse().unwrap()).is_some());
}

#[test]
fn a_rehearsal_that_fails_stops_the_stage_before_anything_is_real() {
    let paused = fail(simulation("pause", DeploymentKind::Migration), StepKind::Rehearse);
    let pause = paused.deployment.paused.as_ref().unwrap();
    assert_eq!(pause.cause, "the rehearsal of eu failed: it failed");
    assert!(!paused.deployment.stages[0].has_effects());
    let ended = fail(simulation("rollback", DeploymentKind::Migration), StepKind::Rehearse);
    assert_eq!(ended.deployment.outcome, Some(DeploymentOutcome::Failed));
    assert!(!ended.deployment.stages[0].has_effects());
}

#[test]
fn a_person_who_says_go_on_has_it_rehearsed_again_on_a_new_copy() {
    let mut simulation = fail(simulation("pause", DeploymentKind::Migration), StepKind::Rehearse);
    simulation.apply(Event::Resumed { by: person(), databases: Vec::new() });
    simulation.settle();
    let running = simulation.deployment.running_steps();
    assert_eq!(running.iter().map(|s| s.kind).collect::<Vec<_>>(), [StepKind::Backup]);
    simulation.happen(0);
    let running = simulation.deployment.running_steps();
    assert_eq!(running.iter().map(|s| s.kind).collect::<Vec<_>>(), [StepKind::Rehearse]);
}

#[test]
fn a_deployment_that_only_rehearses_never_migrates() {
    let (steps, simulation) = steps_of(simulation("pause", DeploymentKind::Rehearsal));
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
    let kinds: Vec<StepKind> = steps.iter().map(|s| s.kind).collect();
    let one = [StepKind::Inspect, StepKind::Backup, StepKind::Rehearse];
    assert_eq!(kinds, [one, one].concat());
    assert!(!simulation.deployment.stages[0].has_effects());
    let failed = fail(self::simulation("pause", DeploymentKind::Rehearsal), StepKind::Rehearse);
    assert_eq!(failed.deployment.outcome, Some(DeploymentOutcome::Failed));
}

#[test]
fn a_log_that_has_a_rehearsal_migrate_is_refused() {
    let mut simulation = simulation("pause", DeploymentKind::Rehearsal);
    simulation.settle();
    let (staging, eu) = (StageIndex(0), "eu".parse().unwrap());
    let kinds = [
        StepKind::Migrate,
        StepKind::Verify,
        StepKind::Monitor,
        StepKind::Rollback,
        StepKind::RollbackBackup,
    ];
    let refused = |deployment: &Deployment| {
        for kind in kinds {
            let id = &deployment.migrations[0].id;
            let step = match kind {
                StepKind::RollbackBackup => StepKey::target(staging, &eu, kind),
                _ => StepKey::migration(staging, &eu, kind, id),
            };
            let (attempt, agent) = (Attempt(1), "agent".parse().unwrap());
            let event = Event::StepStarted { step, attempt, epoch: Epoch(9), agent };
            let seq = deployment.seq.next();
            let record = Record { deployment: deployment.id.clone(), seq, at: sample::at(9), event };
            assert!(deployment.clone().apply(&record).is_err(), "{kind}");
        }
        let event = Event::RollbackStarted { stage: staging, cause: "asked".into(), by: person(), to: None };
        let seq = deployment.seq.next();
        let record = Record { deployment: deployment.id.clone(), seq, at: sample::at(9), event };
        assert!(deployment.clone().apply(&record).is_err());
    };
    for _ in 0..12 {
        refused(&simulation.deployment);
        simulation.happen(0);
    }
    assert!(simulation.deployment.outcome.is_some());
}

#[test]
fn a_log_from_before_rehearsals_reads_as_it_did() {
    let record = sample::created(sample::pipeline("pause"), vec![sample::migration("001_a", true, false)]);
    let json = serde_json::to_value(&record).unwrap();
    assert!(json["event"].get("kind").is_none(), "{json}");
    let stage = &json["event"]["pipeline"]["stages"][0];
    assert!(stage.get("rehearse").is_none() && stage.get("allow_cluster_effects").is_none(), "{stage}");
    let read: Record = serde_json::from_value(json).unwrap();
    assert_eq!(Deployment::open(&read).unwrap().kind, DeploymentKind::Migration);
    let (steps, simulation) = steps_of(Simulation::of(&read));
    assert_eq!(simulation.deployment.outcome, Some(DeploymentOutcome::Succeeded));
    assert!(steps.iter().all(|step| step.kind != StepKind::Rehearse));
    let target = &simulation.deployment.stages[0].targets[0];
    assert!(target.keys(StageIndex(0)).iter().all(|key| key.kind != StepKind::Rehearse));
}
