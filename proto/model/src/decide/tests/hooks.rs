//! Hooks: when they begin, what they wait for, and what becomes of a stage whose hook fails.

use std::time::Duration;

use super::gates::{name, refused, waiting, with};
use super::*;
use crate::event::Actor;
use crate::gate::{GateRefusal, GateWait, HookOutcome};
use crate::pipeline::{ApprovalSettings, Hook, HookPlace, HookStep, HookWay, HookWhen};

const PRODUCTION: StageIndex = StageIndex(1);

fn hook(name: &str, when: HookWhen, way: HookWay) -> Hook {
    Hook { name: name.parse().unwrap(), when, step: None, way, timeout: Duration::from_hours(1) }
}

fn at(name: &str, place: HookPlace, way: HookWay) -> Hook {
    Hook { step: place.step, ..hook(name, place.when, way) }
}

fn called() -> HookWay {
    HookWay::Webhook { url: "https://ci/".into(), secret: "ci".parse().unwrap() }
}

fn finished(name: &str, attempt: u32, outcome: HookOutcome, by: Actor) -> Event {
    Event::HookFinished {
        stage: PRODUCTION,
        hook: name.parse().unwrap(),
        attempt: Attempt(attempt),
        outcome,
        by,
    }
}

fn passed(name: &str, attempt: u32, by: Actor) -> Event {
    finished(name, attempt, HookOutcome::Passed { reason: None }, by)
}

fn ada() -> Actor {
    Actor::Operator(name("ada"))
}

fn answer(name: &str) -> Actor {
    Actor::Hook(name.parse().unwrap())
}

impl Simulation {
    fn hooks(&self) -> Vec<(String, bool)> {
        let gates = match &self.deployment.waiting {
            Some(Waiting::Gates { gates, .. }) => gates.clone(),
            _ => Vec::new(),
        };
        let hook = |gate| match gate {
            GateWait::Hook { name, external, .. } => Some((name.to_string(), external)),
            _ => None,
        };
        gates.into_iter().filter_map(hook).collect()
    }

    /// On all that are waited for: 0 says that they passed, 1 that they failed.
    pub(super) fn words_on_hooks(&self, choice: u8) -> Vec<Event> {
        let open = self.deployment.indexed_stages().find(|(_, stage)| stage.is_open());
        let Some((index, stage)) = open.filter(|_| choice < 2) else { return Vec::new() };
        let runs = stage.gates.hooks.iter().filter(|(_, run)| run.ended.is_none());
        let word = |(name, run): (&crate::id::HookName, &crate::gate::HookRun)| {
            let outcome = match choice {
                0 => HookOutcome::Passed { reason: None },
                _ => HookOutcome::Failed { reason: "it did not go well".into() },
            };
            let by = Actor::Hook(name.clone());
            Event::HookFinished { stage: index, hook: name.clone(), attempt: run.attempt, outcome, by }
        };
        runs.map(word).collect()
    }

    fn calls(&self) -> Vec<String> {
        let commands = decide(&self.deployment, &self.world, self.now);
        let call = |command| match command {
            Command::CallHook { hook, attempt, .. } => Some(format!("{hook}-{attempt}")),
            _ => None,
        };
        commands.into_iter().filter_map(call).collect()
    }

    fn say(&mut self, event: Event) {
        self.apply(event);
        self.settle();
    }
}

fn without_people(stage: &mut crate::pipeline::StageSpec) {
    stage.approvals = ApprovalSettings::default();
    stage.checklist = Vec::new();
}

#[test]
fn what_is_called_before_waits_until_nothing_else_is_missing() {
    let mut s = waiting(|pipeline| {
        let production = &mut pipeline.stages[1];
        production.checklist = Vec::new();
        production.hooks = vec![
            hook("drain", HookWhen::Before, called()),
            hook("ready", HookWhen::Before, HookWay::External),
        ];
    });
    assert_eq!((s.hooks(), s.calls()), (vec![("ready".into(), true)], vec![]), "nobody is called yet");
    s.say(passed("ready", 1, ada()));
    assert_eq!((s.hooks(), s.calls()), (vec![], vec![]));
    let approval = Event::Approved {
        stage: PRODUCTION,
        by: name("ben"),
        groups: vec![],
        digest: s.deployment.plan_digest(PRODUCTION).unwrap(),
        reason: "seen".into(),
    };
    s.say(approval);
    assert_eq!((s.hooks(), s.calls()), (vec![("drain".into(), false)], vec!["drain-1".into()]));
    assert!(!s.deployment.stages[1].has_begun());
    s.say(passed("drain", 1, answer("drain")));
    until(&mut s, |d| d.stages[1].has_begun());
}

#[test]
fn what_comes_after_goes_in_order_and_the_soak_begins_behind_it() {
    let mut s = with("pause", |pipeline| {
        let production = &mut pipeline.stages[1];
        without_people(production);
        production.hooks = vec![
            hook("deploy", HookWhen::After, called()),
            hook("tests", HookWhen::After, HookWay::External),
        ];
    });
    s.settle();
    until(&mut s, |d| matches!(d.waiting, Some(Waiting::Gates { .. })));
    assert!(s.deployment.stages[1].targets.first_unfinished().is_none(), "everything is applied by then");
    assert_eq!((s.hooks(), s.calls()), (vec![("deploy".into(), false)], vec!["deploy-1".into()]));
    // A server that is started again calls again, with the same attempt.
    assert_eq!(s.calls(), ["deploy-1"]);
    let word = refused(&s, passed("deploy", 1, ada()));
    assert!(matches!(word, GateRefusal::HookIsCalled { .. }), "{word}");
    s.say(passed("deploy", 1, answer("deploy")));
    assert_eq!((s.hooks(), s.calls()), (vec![("tests".into(), true)], vec![]));
    let again = refused(&s, passed("deploy", 1, answer("deploy")));
    assert_eq!(
        again.to_string(),
        "the hook deploy of production has passed already, says the hook deploy; nothing was changed"
    );
    s.say(passed("tests", 1, ada()));
    until(&mut s, |d| d.outcome.is_some());
    assert_eq!(s.deployment.outcome, Some(DeploymentOutcome::Succeeded));
}

#[test]
fn a_hook_that_fails_holds_the_stage_and_is_begun_once_more_when_a_person_resumes() {
    let mut s = with("pause", |pipeline| {
        without_people(&mut pipeline.stages[1]);
        pipeline.stages[1].hooks = vec![hook("deploy", HookWhen::After, called())];
    });
    s.settle();
    until(&mut s, |d| matches!(d.waiting, Some(Waiting::Gates { .. })));
    let reason = "2 tests failed".to_owned();
    s.say(finished("deploy", 1, HookOutcome::Failed { reason }, answer("deploy")));
    let pause = s.deployment.paused.clone().expect("it is held");
    assert_eq!(pause.cause, "the hook deploy failed: 2 tests failed");
    assert!(s.calls().is_empty());
    s.say(Event::Resumed { by: ada(), databases: Vec::new() });
    assert_eq!(s.calls(), ["deploy-2"]);
    // An answer to the first attempt is none to the second.
    assert!(matches!(refused(&s, passed("deploy", 1, answer("deploy"))), GateRefusal::HookNotBegun { .. }));
    s.say(passed("deploy", 2, answer("deploy")));
    until(&mut s, |d| d.outcome.is_some());
}

#[test]
fn a_hook_that_never_answers_fails_with_what_its_last_call_came_to() {
    let mut s = with("rollback", |pipeline| {
        without_people(&mut pipeline.stages[1]);
        pipeline.stages[1].hooks = vec![hook("deploy", HookWhen::After, called())];
    });
    s.settle();
    until(&mut s, |d| matches!(d.waiting, Some(Waiting::Gates { .. })));
    s.world.hook_errors.insert("deploy".parse().unwrap(), "it answered 500".into());
    let begun = s.now;
    s.now = s.now.checked_add(Duration::from_mins(59)).unwrap();
    s.settle();
    assert_eq!(s.calls(), ["deploy-1"]);
    s.now = begun.checked_add(Duration::from_mins(61)).unwrap();
    s.settle();
    assert!(matches!(s.deployment.stages[1].status, StageStatus::RollingBack { .. }));
    let cause = s.deployment.stages[1].rollback.as_ref().unwrap().cause.clone();
    assert_eq!(
        cause,
        "the hook deploy failed: nothing came of calling it for 1h 00m; at last: it answered 500"
    );
    let late = refused(&s, passed("deploy", 1, answer("deploy")));
    assert!(matches!(late, GateRefusal::HookEnded { how: "failed", .. }), "{late}");
}

#[test]
fn a_hook_that_the_stage_has_not_or_has_not_come_to_is_refused() {
    let s = waiting(|pipeline| {
        pipeline.stages[1].hooks = vec![hook("tests", HookWhen::After, HookWay::External)];
    });
    let no = refused(&s, passed("test", 1, ada()));
    assert_eq!(no.to_string(), "production has no hook test; it has tests");
    let early = refused(&s, passed("tests", 0, ada()));
    assert!(early.to_string().starts_with("nobody waits for the hook tests yet"), "{early}");
}

/// Of every place, named by it: "before-backup".
fn everywhere(way: fn() -> HookWay) -> Vec<Hook> {
    let places = HookStep::ALL.into_iter().flat_map(|step| [HookPlace::before(step), HookPlace::after(step)]);
    let name = |place: HookPlace| {
        let when = if place.when == HookWhen::Before { "before" } else { "after" };
        place.step.map_or(when.to_owned(), |step| format!("{when}-{}", step.as_str()))
    };
    let places = places.chain([HookPlace::BEFORE, HookPlace::AFTER]);
    places.map(|place| at(&name(place), place, way())).collect()
}

/// All that happens in production, in its order: hooks that are waited for, and kinds of steps that run.
fn story(s: &mut Simulation) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for _ in 0..300 {
        let running = s.deployment.running_steps().into_iter().filter(|key| key.stage == PRODUCTION);
        let steps: Vec<_> = running.map(|key| key.kind.as_str().to_owned()).collect();
        let hooks = s.hooks();
        for word in steps.into_iter().chain(hooks.iter().map(|(name, _)| format!("[{name}]"))) {
            if told.last() != Some(&word) {
                told.push(word);
            }
        }
        if s.deployment.outcome.is_some() {
            return told;
        }
        match hooks.first() {
            Some((name, external)) => {
                let attempt = s.deployment.stages[1].gates.hooks[&name.parse().unwrap()].attempt.0;
                let by = if *external { ada() } else { answer(name) };
                s.say(passed(name, attempt, by));
            }
            None => s.happen(0),
        }
    }
    panic!("it does not end: {told:?}, {:?}", s.deployment.waiting);
}

/// A deployment of both stages, with hooks wherever they may stand.
pub(super) fn simulation(on_failure: &str, rehearse: bool) -> Simulation {
    with(on_failure, |pipeline| {
        for (stage, way) in pipeline.stages.iter_mut().zip([called as fn() -> HookWay, || HookWay::External])
        {
            stage.rehearse = rehearse;
            stage.hooks = everywhere(way);
            stage.hooks.retain(|hook| rehearse || hook.step != Some(HookStep::Rehearse));
        }
    })
}

#[test]
fn a_hook_before_or_after_any_step_is_asked_once_and_where_it_says() {
    for way in [called as fn() -> HookWay, || HookWay::External] {
        let mut s = with("pause", |pipeline| {
            let production = &mut pipeline.stages[1];
            without_people(production);
            (production.rehearse, production.soak) = (true, Duration::from_mins(1));
            production.hooks = everywhere(way);
        });
        s.settle();
        let told = story(&mut s);
        let told: Vec<_> =
            told.iter().map(String::as_str).filter(|word| *word != "monitor" && *word != "measure").collect();
        assert_eq!(
            told,
            [
                "[before-inspect]",
                "inspect",
                "[after-inspect]",
                "[before-backup]",
                "backup",
                "[after-backup]",
                "[before-rehearse]",
                "rehearse",
                "[after-rehearse]",
                "[before]",
                "[before-migrate]",
                "migrate",
                "[after-migrate]",
                "[after-verify]",
                "[after]",
                "[before-soak]",
                "[after-soak]",
            ]
        );
        assert_eq!(s.deployment.outcome, Some(DeploymentOutcome::Succeeded));
        assert!(s.deployment.stages[1].gates.hooks.values().all(|run| run.attempt == Attempt(1)));
    }
}

#[test]
fn with_checks_the_first_verification_waits_and_the_last_migration_is_waited_for() {
    let mut record = sample::created(
        sample::pipeline("pause"),
        vec![
            sample::migration_with("001_a", sample::VERIFY_AND_MONITOR),
            sample::migration_with("002_b", sample::VERIFY_AND_MONITOR),
        ],
    );
    if let Event::Created { pipeline, digest, migrations, .. } = &mut record.event {
        pipeline.stages[1].hooks = ["migrate", "verify"]
            .into_iter()
            .zip([HookStep::Migrate, HookStep::Verify])
            .flat_map(|(name, step)| {
                [("before", HookPlace::before(step)), ("after", HookPlace::after(step))]
                    .map(|(when, place)| at(&format!("{when}-{name}"), place, called()))
            })
            .collect();
        *digest = Deployment::digest_of(pipeline, migrations);
    }
    let mut s = Simulation::of(&record);
    s.settle();
    let told = story(&mut s);
    let told: Vec<_> = told
        .iter()
        .map(String::as_str)
        .filter(|word| !matches!(*word, "monitor" | "measure" | "inspect"))
        .collect();
    assert_eq!(
        told,
        [
            "backup",
            "[before-migrate]",
            "migrate",
            "[before-verify]",
            "verify",
            "migrate",
            "[after-migrate]",
            "verify",
            "[after-verify]",
        ]
    );
}

#[test]
fn what_stands_behind_a_step_waits_until_all_databases_of_the_stage_are_through_it() {
    let mut s = with("pause", |pipeline| {
        pipeline.stages[0].hooks = vec![
            at("copied", HookPlace::after(HookStep::Backup), HookWay::External),
            at("drained", HookPlace::before(HookStep::Migrate), HookWay::External),
        ];
    });
    s.settle();
    until(&mut s, |d| matches!(d.waiting, Some(Waiting::Gates { .. })));
    assert_eq!(s.hooks(), [("copied".into(), true)]);
    let of_staging = |s: &Simulation| s.deployment.stages[0].targets.to_vec();
    assert!(of_staging(&s).iter().all(|target| target.backup.succeeded()), "eu and us are backed up");
    let pass = |name: &str| Event::HookFinished {
        stage: StageIndex(0),
        hook: name.parse().unwrap(),
        attempt: Attempt(1),
        outcome: HookOutcome::Passed { reason: None },
        by: ada(),
    };
    // What was found meanwhile is too old to go by: it is found and backed up anew, and nobody is asked twice.
    s.now = s.now.checked_add(Duration::from_mins(30)).unwrap();
    s.settle();
    assert_eq!(s.hooks(), [("copied".into(), true)], "it is not refreshed while somebody is waited for");
    s.say(pass("copied"));
    assert!(of_staging(&s).iter().any(|target| !target.backup.succeeded()), "it is looked at again");
    until(&mut s, |d| matches!(d.waiting, Some(Waiting::Gates { .. })));
    assert_eq!(s.hooks(), [("drained".into(), true)]);
    assert!(!s.deployment.stages[0].has_begun());
    s.say(pass("drained"));
    until(&mut s, |d| d.stages[0].has_begun());
}

#[test]
fn a_step_does_not_begin_before_its_hook_has_passed_whoever_says_so() {
    let mut s = with("pause", |pipeline| {
        without_people(&mut pipeline.stages[1]);
        pipeline.stages[1].hooks = vec![at("copy", HookPlace::before(HookStep::Backup), HookWay::External)];
    });
    s.settle();
    until(&mut s, |d| matches!(d.waiting, Some(Waiting::Gates { .. })));
    let step = StepKey::target(PRODUCTION, &"main".parse().unwrap(), StepKind::Backup);
    let begun =
        Event::StepStarted { step, attempt: Attempt(1), epoch: Epoch(999), agent: "agent".parse().unwrap() };
    let why = s.refusal(begun).expect("it is refused").to_string();
    assert!(why.ends_with("a hook in front of it has not passed"), "{why}");
}

#[test]
fn a_hook_after_the_soak_that_fails_holds_the_promotion() {
    let mut s = with("pause", |pipeline| {
        let staging = &mut pipeline.stages[0];
        staging.soak = Duration::from_mins(1);
        staging.hooks = vec![at("signed", HookPlace::after(HookStep::Soak), HookWay::External)];
    });
    s.settle();
    until(&mut s, |d| matches!(d.waiting, Some(Waiting::Gates { .. })));
    assert!(matches!(s.deployment.stages[0].status, StageStatus::Soaking { .. }));
    let said = |attempt, outcome| Event::HookFinished {
        stage: StageIndex(0),
        hook: "signed".parse().unwrap(),
        attempt: Attempt(attempt),
        outcome,
        by: ada(),
    };
    s.say(said(1, HookOutcome::Failed { reason: "the numbers are off".into() }));
    assert_eq!(s.deployment.paused.as_ref().unwrap().cause, "the hook signed failed: the numbers are off");
    s.say(Event::Resumed { by: ada(), databases: Vec::new() });
    assert_eq!(s.hooks(), [("signed".into(), true)]);
    s.say(said(2, HookOutcome::Passed { reason: None }));
    assert!(matches!(
        s.deployment.stages[0].status,
        StageStatus::Ended { outcome: StageOutcome::Succeeded, .. }
    ));
}
