//! Gates, and what becomes of them.

use std::time::Duration;

use stopover_model::event::{Actor, Event, StageIndex};
use stopover_model::gate::{GateWait, HookOutcome};
use stopover_model::id::Attempt;
use stopover_model::pipeline::{Approver, Hook, HookStep, HookWay, HookWhen};

use super::{actors, at, digest, id};

pub(super) fn approvers() -> Vec<Approver> {
    vec![Approver::Person(id("anna")), Approver::Group(id("dba"))]
}

pub(in super::super) fn gate_waits() -> Vec<GateWait> {
    vec![
        GateWait::Approvals { have: 0, need: 1, approvers: Vec::new() },
        GateWait::Approvals { have: 1, need: 2, approvers: approvers() },
        GateWait::Checklist { items: vec!["Team notified".into()] },
        GateWait::Hook { name: id("deploy"), external: true, until: at() },
        GateWait::Window { opens: Some(at()) },
        GateWait::Window { opens: None },
        GateWait::WindowTooShort { needs: Duration::from_secs(90), closes: at(), opens: Some(at()) },
        GateWait::Freeze { until: at() },
    ]
}

pub(in super::super) fn hook_outcomes() -> Vec<HookOutcome> {
    vec![
        HookOutcome::Passed { reason: None },
        HookOutcome::Passed { reason: Some("release 7 is out".into()) },
        HookOutcome::Failed { reason: "2 tests failed".into() },
    ]
}

pub(super) fn gate_events(stage: StageIndex) -> Vec<Event> {
    let (by, attempt) = (|| id("ben"), Attempt(2));
    let mut events = vec![
        Event::Approved { stage, by: by(), groups: Vec::new(), digest: digest(3), reason: String::new() },
        Event::Approved {
            stage,
            by: by(),
            groups: vec![id("dba")],
            digest: digest(3),
            reason: "seen".into(),
        },
        Event::Rejected { stage, by: by(), groups: vec![id("dba")], reason: "not on a Friday".into() },
        Event::ApprovalsVoided { stage, why: "the plan has changed".into() },
        Event::Ticked { stage, item: "Team notified".into(), by: by() },
        Event::StageRefreshed { stage, why: "it is 3h old".into() },
        Event::WindowOverridden { stage, by: by(), reason: "an incident".into() },
        Event::HookStarted { stage, hook: id("deploy"), attempt },
    ];
    let ended = |(outcome, by): (HookOutcome, Actor)| Event::HookFinished {
        stage,
        hook: id("deploy"),
        attempt,
        outcome,
        by,
    };
    events.extend(hook_outcomes().into_iter().zip(actors()).map(ended));
    events
}

pub(super) fn hooks() -> Vec<Hook> {
    let hook =
        |name, when, way| Hook { name: id(name), when, step: None, way, timeout: Duration::from_mins(90) };
    let called = HookWay::Webhook { url: "https://ci/deploy".into(), secret: id("ci") };
    let places = HookStep::ALL
        .map(|step| Hook { step: Some(step), ..hook("around", HookWhen::After, HookWay::External) });
    let whole = [hook("deploy", HookWhen::After, called), hook("tests", HookWhen::Before, HookWay::External)];
    whole.into_iter().chain(places).collect()
}
