//! What is told of that which a deployment waits for.

use super::{Notice, gates};
use crate::deployment::Deployment;
use crate::event::{Record, Waiting};

/// Only where somebody has to act, and was not told so by the event before.
pub(super) fn told(before: &Deployment, record: &Record, waiting: &Waiting) -> Option<Notice> {
    let new = |happened: String, who: &str| Notice::waiting(before, record, happened, who);
    let notice = match waiting {
        Waiting::EnvironmentMissing { environment } => {
            let happened = format!("it waits: there is no environment {environment}");
            let notice = new(happened, "an administrator of Stopover");
            let notice = Notice { environment: Some(environment.clone()), ..notice };
            notice.typing(format!("stopover environment create {environment}"), "makes it")
        }
        Waiting::NoAgent { environment, database } => {
            let what =
                database.as_ref().map(|d| format!(" that serves the database {d}")).unwrap_or_default();
            let happened = format!("it waits: {environment} has no agent{what}");
            let notice = new(happened, "whoever runs the agents");
            let notice = Notice { environment: Some(environment.clone()), passing: true, ..notice };
            notice.typing("stopover agent list", "shows which agents are there").typing(
                format!("stopover agent token {environment}"),
                "lets a new one join, or add the database to an agent's agent.toml",
            )
        }
        Waiting::NoneSelected { environment, selector } => {
            let happened = format!("it waits: no database of {environment} has the labels {selector}");
            let notice = new(happened, "whoever runs the agents, or wrote the pipeline");
            let notice = Notice { environment: Some(environment.clone()), ..notice };
            notice.typing("stopover environment list", "shows which labels there are")
        }
        Waiting::AgentAway { environment, database, agent } => {
            let happened =
                format!("it waits for the agent {agent} of {environment}/{database}, which is away");
            let notice = new(happened, "whoever runs that machine");
            let notice = Notice { environment: Some(environment.clone()), passing: true, ..notice };
            notice.typing("stopover agent list", "shows when it was last seen")
        }
        Waiting::Gates { environment, gates } => gates::told(before, record, environment, gates)?,
        Waiting::Soak { environment, held, .. } if !held.is_empty() && !was_held(before) => {
            let happened = format!("the soak in {environment} does not end as it is");
            let notice = new(happened, "whoever knows why the monitors can't be asked, or do not hold");
            let (environment, evidence) = (Some(environment.clone()), held.clone());
            Notice { environment, evidence, passing: true, ..notice }
        }
        Waiting::FollowUp { follow_up } => {
            let happened = format!("it waits for a word on the follow-up {follow_up}, which failed");
            let notice = new(happened, "somebody who looks at what it saw");
            notice.typing(format!("stopover follow-ups {}", follow_up.deployment), "says what was seen")
        }
        // Told with what has stopped it.
        Waiting::Person { .. }
        // They pass by themselves.
        | Waiting::EnvironmentHeld { .. }
        | Waiting::Soak { .. }
        | Waiting::Retry { .. } => return None,
    };
    Some(notice.typing(format!("stopover status {}", before.id), "shows what it waits for, and since when"))
}

fn was_held(before: &Deployment) -> bool {
    matches!(&before.waiting, Some(Waiting::Soak { held, .. }) if !held.is_empty())
}
