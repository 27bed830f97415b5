//! Hooks: when they begin, what they wait for, and what becomes of a stage whose hook fails.

use std::time::Duration;

use super::gates::{name, refused, waiting, with};
use super::*;
use crate::event::Actor;
use crate::gate::{GateRefusal, GateWait, HookOutcome};
use crate::pipeline::{ApprovalSettings, Hook, HookWay, HookWhen};

const PRODUCTION: StageIndex = StageIndex(1);

fn hook(name: &str, when: HookWhen, way: HookWay) -> Hook {
    Hook { name: name.parse().unwrap(), when, way, timeout: Duration::from_hours(1) }
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
