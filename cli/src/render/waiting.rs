//! What a deployment waits for, and who can resolve it with which command.

use stopover_model::deployment::{Deployment, Step, StepState};
use stopover_model::event::Waiting;

use super::line::{Line, Tone};
use super::number::{clock, count, relative};
use super::{View, gate, way_back};

/// What is waited for, then what can be done about it. Empty when nothing is waited for.
#[must_use]
pub fn lines(deployment: &Deployment, view: View) -> Vec<Line> {
    let Some(waiting) = &deployment.waiting else {
        return Vec::new();
    };
    let since = deployment.waiting_since.filter(|at| *at < view.now);
    let since = since.map(|at| format!("since {} ", clock(at, view.now))).unwrap_or_default();
    let said = Line::of(Tone::Warn, "waits ").plain(since).then(reason(waiting, view));
    let mut lines = said.wrapped(view.width, 2);
    if let Waiting::Gates { environment, gates } = waiting {
        lines.extend(gate::lines(deployment, environment, gates, view));
    }
    for advice in advice(deployment, waiting) {
        lines.extend(Line::of(Tone::Busy, "  → ").plain(advice).wrapped(view.width, 4));
    }
    lines
}

/// For what and until when; fits behind "waits".
#[must_use]
pub fn reason(waiting: &Waiting, view: View) -> Line {
    let when = |at| format!("{} ({})", clock(at, view.now), relative(at, view.now));
    Line::new().plain(match waiting {
        Waiting::EnvironmentMissing { environment } => {
            format!("for the environment {environment}, which does not exist")
        }
        Waiting::NoAgent { environment, database: None } => {
            format!("for an agent in {environment}: none has joined")
        }
        Waiting::NoAgent { environment, database: Some(database) } => {
            format!("for an agent that serves the database {database} in {environment}: none does")
        }
        Waiting::NoneSelected { environment, selector } => {
            format!("for a database of {environment} with the labels {selector}: none has them")
        }
        Waiting::AgentAway { environment, database, agent } => {
            format!("for the agent {agent} of {environment}/{database}, which is away")
        }
        Waiting::EnvironmentHeld { environment, by } => {
            format!("for {environment}, where the deployment {by} is at work")
        }
        Waiting::Soak { environment, until, held } => {
            let until = format!("in {environment} under observation until {}", when(*until));
            held.iter().fold(until, |text, why| format!("{text}; {why}"))
        }
        Waiting::FollowUp { follow_up } => format!("for a word on the follow-up {follow_up}, which failed"),
        Waiting::Retry { step, at } => format!("to try {step} again at {}", when(*at)),
        // A person who pauses need not say why.
        Waiting::Person { cause } if cause.is_empty() => "for a person: it is paused".to_owned(),
        Waiting::Person { cause } => format!("for a person: {cause}"),
        Waiting::Gates { environment, gates } => {
            format!("in front of {environment} for {}", count(gates.len() as u64, "gate"))
        }
    })
}

/// What can be done about it, in words and commands.
#[must_use]
pub fn advice(deployment: &Deployment, waiting: &Waiting) -> Vec<String> {
    let id = &deployment.id;
    match waiting {
        Waiting::EnvironmentMissing { environment } => {
            vec![format!("stopover environment create {environment}")]
        }
        Waiting::NoAgent { environment, database: None } => {
            vec![format!("stopover agent token {environment}, then stopover-agent join beside its databases")]
        }
        Waiting::NoAgent { database: Some(database), .. } => {
            vec![format!("add {database} to an agent's agent.toml, or correct `databases` in the pipeline")]
        }
        Waiting::NoneSelected { .. } => vec![
            "set `labels` of a [[database]] in an agent.toml and restart that agent, or correct the pipeline"
                .to_owned(),
        ],
        Waiting::AgentAway { agent, .. } => {
            vec![format!("see on its machine that {agent} runs and reaches the server; stopover agent list")]
        }
        Waiting::EnvironmentHeld { by, .. } => vec![format!("stopover watch {by}")],
        Waiting::Soak { .. } => way_back::if_something_breaks(deployment).into_iter().collect(),
        // The gates have said so already.
        Waiting::Retry { .. } | Waiting::Gates { .. } => Vec::new(),
        Waiting::FollowUp { follow_up } => vec![
            format!("stopover follow-ups {} says what was seen", follow_up.deployment),
            format!(
                "stopover acknowledge {} \"{}\" --reason \"WHY IT MAY GO ON\"",
                follow_up.deployment, follow_up.name
            ),
        ],
        Waiting::Person { .. } => {
            let stopped = deployment.stages.iter().find(|s| s.rollback_failed());
            let mut advice = stopped
                .map_or_else(|| person_advice(deployment), |stage| way_back::ways_out(deployment, stage));
            if !deployment.pipeline.contacts.is_empty() {
                advice.push(format!("ask {}", deployment.pipeline.contacts.join(", ")));
            }
            if stopped.is_none() {
                advice.push(format!("stopover cancel {id} stops here and leaves what was applied"));
            }
            advice
        }
    }
}

fn person_advice(deployment: &Deployment) -> Vec<String> {
    let id = &deployment.id;
    if any_step(deployment, |s| matches!(s.state, StepState::Unknown { .. })) {
        return vec![
            "look at the database: is the change there?".to_owned(),
            format!("stopover resolve {id} --applied, or stopover resolve {id} --not-applied"),
        ];
    }
    let failed = any_step(deployment, |s| s.error().is_some());
    let rejected = deployment.stages.iter().any(|stage| stage.gates.rejection.is_some());
    let word = match (failed, rejected) {
        (true, _) => "tries again, with the same files",
        (false, true) => "goes on, and asks for approvals anew",
        (false, false) => "goes on",
    };
    let mut advice = vec![format!("stopover resume {id} {word}")];
    let stage = deployment.last_stage_with_effects().and_then(|index| deployment.stage(index));
    advice.extend(stage.into_iter().flat_map(|stage| way_back::when(deployment, stage)));
    advice
}

fn any_step(deployment: &Deployment, is: impl Fn(&Step) -> bool) -> bool {
    deployment
        .indexed_stages()
        .flat_map(|(index, stage)| stage.targets.iter().flat_map(move |t| t.keys(index)))
        .any(|key| deployment.step(&key).is_some_and(&is))
}

#[cfg(test)]
mod tests {
    use super::super::line::text;
    use super::super::sample;
    use super::*;

    fn shown(waiting: Waiting) -> String {
        let mut deployment = sample::deployment();
        deployment.waiting = Some(waiting);
        text(&lines(&deployment, sample::view()))
    }

    #[test]
    fn each_reason_names_what_ends_it() {
        let environment = || "production".parse().unwrap();
        let database = || "app".parse().unwrap();
        let all = [
            Waiting::EnvironmentMissing { environment: environment() },
            Waiting::NoAgent { environment: environment(), database: None },
            Waiting::NoAgent { environment: environment(), database: Some(database()) },
            Waiting::AgentAway {
                environment: environment(),
                database: database(),
                agent: "prod-1".parse().unwrap(),
            },
            Waiting::EnvironmentHeld { environment: environment(), by: "0000000000".parse().unwrap() },
            Waiting::Soak { environment: environment(), until: sample::at(700), held: Vec::new() },
            Waiting::Retry { step: sample::key(1, "backup"), at: sample::at(102) },
            Waiting::Person {
                cause: "the verification of 001_add in app failed: 1 of 5 checks does not hold".into(),
            },
        ];
        insta::assert_snapshot!(all.map(shown).concat(), @r#"
        waits for the environment production, which does not exist
          → stopover environment create production
        waits for an agent in production: none has joined
          → stopover agent token production, then stopover-agent join beside its
            databases
        waits for an agent that serves the database app in production: none does
          → add app to an agent's agent.toml, or correct `databases` in the pipeline
        waits for the agent prod-1 of production/app, which is away
          → see on its machine that prod-1 runs and reaches the server; stopover agent
            list
        waits for production, where the deployment 0000000000 is at work
          → stopover watch 0000000000
        waits in production under observation until 14:11:40 UTC (in 10m 00s)
        waits to try app backup again at 14:01:42 UTC (in 2.0 s)
        waits for a person: the verification of 001_add in app failed: 1 of 5 checks
          does not hold
          → stopover resume 4k2m9x0c1d goes on
          → ask #db-oncall
          → stopover cancel 4k2m9x0c1d stops here and leaves what was applied
        "#);
    }
}
