//! What is told of closed gates: only of those that people open, and of each once.

use super::Notice;
use crate::deployment::{Deployment, Stage};
use crate::event::{Record, Waiting};
use crate::gate::GateWait;
use crate::id::EnvironmentName;
use crate::pipeline::NoticeKind;
use crate::plan::Action;

pub(super) fn told(
    before: &Deployment,
    record: &Record,
    environment: &EnvironmentName,
    gates: &[GateWait],
) -> Option<Notice> {
    let known = match &before.waiting {
        Some(Waiting::Gates { environment: other, gates }) if other == environment => &gates[..],
        _ => &[],
    };
    let stage = before.stages.iter().find(|stage| stage.spec.environment == *environment);
    let is_new = |gate: &&GateWait| !known.iter().any(|other| is_same(gate, other));
    let for_people: Vec<&GateWait> = gates.iter().filter(|gate| gate.is_for_people()).collect();
    if !for_people.iter().any(is_new) {
        let shut: Vec<&GateWait> = gates.iter().filter(|gate| is_shut(gate)).collect();
        // Told when nothing but time is waited for any more.
        let news = !known.iter().any(is_shut) || known.iter().any(GateWait::is_for_people);
        let worth = for_people.is_empty() && news && !shut.is_empty();
        return worth.then(|| waits_for_time(before, record, environment, &shut));
    }
    let what: Vec<_> = for_people.iter().map(|gate| words(gate)).collect();
    let happened = format!("{environment} waits for {}", what.join(", for "));
    let notice = Notice::waiting(before, record, happened, &who(before, stage, &for_people));
    let mut notice = Notice { environment: Some(environment.clone()), ..notice };
    notice.evidence = stage.map(planned).unwrap_or_default();
    let commands = for_people.iter().flat_map(|gate| commands(before, gate));
    Some(commands.fold(notice, |notice, (command, effect)| notice.typing(command, effect)))
}

/// Nobody has to do anything: when it goes on is said, and who could have it go on before.
fn waits_for_time(
    before: &Deployment,
    record: &Record,
    environment: &EnvironmentName,
    shut: &[&GateWait],
) -> Notice {
    let what: Vec<_> = shut.iter().map(|gate| words(gate)).collect();
    let happened = format!("{environment} waits for {}", what.join(", for "));
    let opens = shut.iter().filter_map(|gate| gate.until()).max();
    let until = opens.map_or_else(
        || {
            "no window opens within the next two years; an administrator overrides it, or it is cancelled"
                .to_owned()
        },
        |opens| format!("nobody has to: it goes on by itself at {}", opens.strftime("%Y-%m-%d %H:%M:%S UTC")),
    );
    let notice = Notice::waiting(before, record, happened, &until);
    let notice = Notice { environment: Some(environment.clone()), ..notice };
    let id = &before.id;
    notice.typing(format!("stopover explain {id}"), "shows what it waits for, and until when").typing(
        format!("stopover resume {id} --override-window --reason WHY"),
        "goes on at once, where an administrator says so",
    )
}

/// A person said no: it is held with that.
pub(super) fn rejected(before: &Deployment, record: &Record, stage: &Stage, cause: &str) -> Notice {
    let happened = format!("it was rejected in {}, and is held", stage.spec.environment);
    let notice =
        Notice::new(before, record, NoticeKind::Paused, happened).in_stage(Some(stage)).because(cause);
    let who = Some(format!("{}, who deploys it", before.by));
    Notice { waits: true, who, ..notice }
        .typing(format!("stopover resume {}", before.id), "asks for approvals anew")
        .typing(format!("stopover cancel {}", before.id), "stops here and leaves what was applied")
}

/// What people agreed to is not what would run.
pub(super) fn voided(before: &Deployment, record: &Record, stage: &Stage, why: &str) -> Notice {
    let happened = format!("the approvals for {} no longer count", stage.spec.environment);
    let approvers = stage.spec.approvals.who(&[&before.by]);
    let notice = Notice::waiting(before, record, happened, &format!("{approvers} approves"));
    let notice = notice.in_stage(Some(stage)).because(why);
    Notice { evidence: planned(stage), ..notice }
        .typing(format!("stopover status {}", before.id), "shows what would run now")
        .typing(format!("stopover approve {}", before.id), "agrees to it")
}

fn is_shut(gate: &GateWait) -> bool {
    matches!(gate, GateWait::Window { .. } | GateWait::WindowTooShort { .. } | GateWait::Freeze { .. })
}

/// Whether it is the same gate, however much of it is done.
fn is_same(one: &GateWait, other: &GateWait) -> bool {
    match (one, other) {
        (GateWait::Hook { name, .. }, GateWait::Hook { name: other, .. }) => name == other,
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

fn words(gate: &GateWait) -> String {
    match gate {
        GateWait::Approvals { have, need, .. } if *need - *have == 1 => "an approval".to_owned(),
        GateWait::Approvals { have, need, .. } => format!("{} approvals", need - have),
        GateWait::Checklist { items } if items.len() == 1 => format!("`{}` of its checklist", items[0]),
        GateWait::Checklist { items } => format!("{} items of its checklist", items.len()),
        GateWait::Hook { name, .. } => format!("the hook {name}"),
        GateWait::Window { .. } | GateWait::WindowTooShort { .. } => "its window".to_owned(),
        GateWait::Freeze { .. } => "the end of a freeze".to_owned(),
    }
}

fn who(before: &Deployment, stage: Option<&Stage>, gates: &[&GateWait]) -> String {
    let approvers = gates.iter().any(|gate| matches!(gate, GateWait::Approvals { .. }));
    let approvers = stage.filter(|_| approvers).map(|stage| {
        let given = stage.gates.approvals.iter().map(|approval| &approval.by);
        let without: Vec<_> = given.chain([&before.by]).collect();
        format!("{} approves", stage.spec.approvals.who(&without))
    });
    let anybody = gates.iter().any(|gate| !matches!(gate, GateWait::Approvals { .. }));
    let anybody = anybody.then(|| "who has done it says so".to_owned());
    [approvers, anybody].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// What would run.
fn planned(stage: &Stage) -> Vec<String> {
    let plans = stage.targets.iter().filter_map(|target| target.plan.as_ref());
    let of_plan = |plan: &crate::plan::TargetPlan| {
        let applied = plan.migrations.iter().filter_map(|m| match &m.action {
            Action::Apply { variant, .. } => {
                Some(format!("{}: {} of {}, because {}", plan.database, variant.file(), m.id, m.reason))
            }
            Action::Skip => None,
        });
        applied.chain(plan.warnings.iter().map(|w| format!("warning: {w}"))).collect::<Vec<_>>()
    };
    plans.flat_map(of_plan).take(super::evidence::MOST_LINES).collect()
}

fn commands(before: &Deployment, gate: &GateWait) -> Vec<(String, String)> {
    let id = &before.id;
    match gate {
        GateWait::Approvals { .. } => vec![
            (format!("stopover approve {id}"), "agrees, to what stopover status shows".to_owned()),
            (format!("stopover reject {id} --reason WHY"), "holds it, and says why".to_owned()),
        ],
        GateWait::Checklist { items } => items
            .iter()
            .map(|item| (format!("stopover tick {id} '{item}'"), "says that it is done".to_owned()))
            .collect(),
        GateWait::Hook { name, .. } => vec![
            (format!("stopover pass {id} {name}"), "says that it went well".to_owned()),
            (format!("stopover fail {id} {name} --reason WHY"), "says that it did not".to_owned()),
        ],
        GateWait::Window { .. } | GateWait::WindowTooShort { .. } | GateWait::Freeze { .. } => Vec::new(),
    }
}
