//! What people are told of a deployment: what happened and where, why, what shows it, who is to act, and what to type.
//!
//! A pure function of the state and the event that follows it, so that the same event is told once, in the same words,
//! whoever looks and however often. Sending is somebody else's business.

mod evidence;
mod failure;
mod follow_up;
mod gates;
mod waiting;
mod words;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::deployment::{Deployment, Stage};
use crate::event::{Actor, DeploymentKind, DeploymentOutcome, Event, Record, StageIndex, StageOutcome};
use crate::id::{DeploymentId, EnvironmentName, MigrationId, OperatorName, PipelineName, Seq};
use crate::pipeline::{NoticeKind, Notify, NotifyTarget, Pipeline};

pub use follow_up::of_follow_up;

/// What passes by itself most of the time is told only when it lasts longer.
pub const PASSES_WITHIN: Duration = Duration::from_mins(2);

/// What somebody is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub kind: NoticeKind,
    /// Nothing goes on until somebody acts.
    pub waits: bool,
    /// It may pass by itself: an agent that is away comes back, as a rule.
    pub passing: bool,
    pub at: Timestamp,
    pub pipeline: PipelineName,
    /// None: this is a trial of the way to those who are told.
    pub about: Option<About>,
    pub environment: Option<EnvironmentName>,
    /// A sentence without its full stop.
    pub happened: String,
    pub cause: Option<String>,
    /// What shows it: the statement, the check with what was expected and what was seen.
    pub evidence: Vec<String>,
    /// Who is to act.
    pub who: Option<String>,
    /// What they can do.
    pub commands: Vec<Typed>,
    /// Whom to call, from the pipeline.
    pub contacts: Vec<String>,
}

/// The deployment that a notice is about, and the event of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub deployment: DeploymentId,
    pub seq: Seq,
    pub migrations: Vec<MigrationId>,
    /// Who deploys.
    pub by: OperatorName,
}

/// A command, and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typed {
    pub command: String,
    pub effect: String,
}

/// How far a notice has got on its way to one of those who are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationState {
    /// It is tried, or to be tried, again and again.
    Waiting,
    /// Its receiver took it.
    Delivered,
    /// Refused for good, or for too long.
    GivenUp,
}

/// What an event changes about that which people are to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Telling {
    /// What was to be told of the deployment only if it lasted has passed.
    Withdraw {
        deployment: DeploymentId,
        at: Timestamp,
    },
    Tell {
        to: NotifyTarget,
        notice: Box<Notice>,
    },
}

/// What the pipeline's people are to be told when `record` follows `before`.
#[must_use]
pub fn tellings(before: &Deployment, record: &Record) -> Vec<Telling> {
    let pipeline = &before.pipeline;
    if pipeline.notify.is_empty() || before.kind == DeploymentKind::Rehearsal {
        return Vec::new();
    }
    let mut all = Vec::new();
    if matches!(record.event, Event::WaitingChanged { .. } | Event::Finished { .. }) {
        all.push(Telling::Withdraw { deployment: before.id.clone(), at: record.at });
    }
    all.extend(Notice::of(before, record).into_iter().flat_map(|notice| notice.to_all(pipeline)));
    all
}

/// What they are to be told when a deployment begins.
#[must_use]
pub fn of_creation(record: &Record) -> Vec<Telling> {
    let Ok(deployment) = Deployment::open(record) else { return Vec::new() };
    if deployment.pipeline.notify.is_empty() || deployment.kind == DeploymentKind::Rehearsal {
        return Vec::new();
    }
    let stages: Vec<_> = deployment.pipeline.stages.iter().map(|s| s.environment.as_str()).collect();
    let happened = format!("{} is on its way to {}", names(&deployment), stages.join(", then "));
    let notice = Notice::new(&deployment, record, NoticeKind::Started, happened)
        .typing(format!("stopover watch {}", deployment.id), "shows it live");
    notice.to_all(&deployment.pipeline)
}

impl Notice {
    /// What is worth telling of an event, if anything is.
    #[must_use]
    pub fn of(before: &Deployment, record: &Record) -> Option<Self> {
        let open = || before.indexed_stages().find(|(_, stage)| stage.is_open()).map(|(_, stage)| stage);
        let stage = |index: &StageIndex| before.stage(*index);
        match &record.event {
            Event::Paused { cause, by: Actor::Pipeline } => {
                Some(failure::stopped(before, record, open(), cause))
            }
            Event::Paused { cause, by } => {
                let happened = format!("{by} has paused it{}", of_stage(open()));
                let notice = Self::new(before, record, NoticeKind::Paused, happened).in_stage(open());
                let notice =
                    notice.because(cause).typing(format!("stopover resume {}", before.id), "goes on");
                Some(Self { waits: true, ..notice })
            }
            Event::Resumed { by, databases } => {
                let of = |name: &crate::id::DatabaseName| format!(" {name}");
                let again: String = databases.iter().take(5).map(of).collect();
                let happened = match databases.len() {
                    0 => format!("{by} has resumed it{}", of_stage(open())),
                    1..=5 => format!("{by} has tried again{again}{}", of_stage(open())),
                    more => format!("{by} has tried {more} databases again{}", of_stage(open())),
                };
                Some(Self::new(before, record, NoticeKind::Resumed, happened).in_stage(open()))
            }
            Event::RollbackStarted { stage: index, cause, by: Actor::Pipeline, .. } => {
                Some(failure::taken_back(before, record, stage(index)?, cause))
            }
            Event::RollbackFailed { stage: index, cause } => {
                Some(failure::rollback_failed(before, record, stage(index)?, cause))
            }
            Event::StageFinished { stage: index, outcome: StageOutcome::Succeeded } => {
                let (ended, next) = (stage(index)?, before.stage(StageIndex(index.0 + 1))?);
                let happened =
                    format!("{} succeeded; {} is next", ended.spec.environment, next.spec.environment);
                let notice = Self::new(before, record, NoticeKind::StageSucceeded, happened);
                Some(Self { evidence: evidence::of_success(ended), ..notice.in_stage(Some(ended)) })
            }
            Event::Rejected { stage: index, by, reason, .. } => {
                Some(gates::rejected(before, record, stage(index)?, &format!("{by} says: {reason}")))
            }
            Event::ApprovalsVoided { stage: index, why } => {
                Some(gates::voided(before, record, stage(index)?, why))
            }
            Event::WaitingChanged { waiting: Some(waiting) } => waiting::told(before, record, waiting),
            Event::Finished { outcome } => Some(finished(before, record, *outcome)),
            _ => None,
        }
    }

    /// A trial of the way to those who are told.
    #[must_use]
    pub fn trial(pipeline: &Pipeline, by: &OperatorName, at: Timestamp) -> Self {
        Self {
            kind: NoticeKind::Started,
            waits: false,
            passing: false,
            at,
            pipeline: pipeline.name.clone(),
            about: None,
            environment: None,
            happened: format!(
                "this is a trial by {by}: notices of the pipeline {} arrive here",
                pipeline.name
            ),
            cause: None,
            evidence: Vec::new(),
            who: Some("nobody has to do anything".into()),
            commands: Vec::new(),
            contacts: pipeline.contacts.clone(),
        }
    }

    /// When it is due at the earliest.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        let patience = if self.passing { PASSES_WITHIN } else { Duration::ZERO };
        self.at.checked_add(patience).unwrap_or(Timestamp::MAX)
    }

    /// Whether they are to be told: who wants to know what waits hears of failures that wait as well.
    #[must_use]
    pub fn is_for(&self, notify: &Notify) -> bool {
        notify.events.contains(&self.kind) || (self.waits && notify.events.contains(&NoticeKind::Waiting))
    }

    fn to_all(&self, pipeline: &Pipeline) -> Vec<Telling> {
        let to = pipeline.notify.iter().filter(|notify| self.is_for(notify));
        to.map(|notify| Telling::Tell { to: notify.to.clone(), notice: Box::new(self.clone()) }).collect()
    }

    /// Of what somebody has to do something about.
    fn waiting(before: &Deployment, record: &Record, happened: String, who: &str) -> Self {
        let notice = Self::new(before, record, NoticeKind::Waiting, happened);
        Self { waits: true, who: Some(who.to_owned()), ..notice }
    }

    fn new(deployment: &Deployment, record: &Record, kind: NoticeKind, happened: String) -> Self {
        Self {
            kind,
            waits: false,
            passing: false,
            at: record.at,
            pipeline: deployment.pipeline.name.clone(),
            about: Some(About {
                deployment: deployment.id.clone(),
                seq: record.seq,
                migrations: deployment.migrations.iter().map(|m| m.id.clone()).collect(),
                by: deployment.by.clone(),
            }),
            environment: None,
            happened,
            cause: None,
            evidence: Vec::new(),
            who: None,
            commands: Vec::new(),
            contacts: deployment.pipeline.contacts.clone(),
        }
    }

    fn in_stage(self, stage: Option<&Stage>) -> Self {
        Self { environment: stage.map(|stage| stage.spec.environment.clone()), ..self }
    }

    fn because(self, cause: &str) -> Self {
        Self { cause: Some(cause.to_owned()).filter(|cause| !cause.is_empty()), ..self }
    }

    fn typing(mut self, command: impl Into<String>, effect: impl Into<String>) -> Self {
        self.commands.push(Typed { command: command.into(), effect: effect.into() });
        self
    }
}

fn finished(before: &Deployment, record: &Record, outcome: DeploymentOutcome) -> Notice {
    let id = &before.id;
    let last = before.indexed_stages().rev().map(|(_, stage)| stage).find(|stage| !stage.targets.is_empty());
    let place = last.map(|stage| stage.spec.environment.to_string()).unwrap_or_default();
    let (kind, happened) = match outcome {
        DeploymentOutcome::Succeeded => {
            (NoticeKind::Succeeded, format!("{} succeeded everywhere", names(before)))
        }
        DeploymentOutcome::Failed => {
            (NoticeKind::Failed, format!("{} failed in {place}; nothing had to be taken back", names(before)))
        }
        DeploymentOutcome::Cancelled => {
            let by = before.cancelling.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            (NoticeKind::Cancelled, format!("{} was cancelled{by}; what was applied stays", names(before)))
        }
        DeploymentOutcome::RolledBack => {
            (NoticeKind::RolledBack, format!("{} was rolled back in {place}", names(before)))
        }
        DeploymentOutcome::RollbackFailed => {
            (NoticeKind::Failed, format!("{} ended in {place} half taken back", names(before)))
        }
    };
    let notice = Notice::new(before, record, kind, happened)
        .in_stage(last)
        .typing(format!("stopover status {id}"), "shows every step of it");
    match (outcome, last) {
        (DeploymentOutcome::Succeeded, _) => {
            let evidence = before.stages.iter().flat_map(evidence::of_success).collect();
            Notice { evidence, ..notice }
                .typing(format!("stopover rollback {id} --plan"), "says what taking it back would lose")
        }
        (DeploymentOutcome::RolledBack, Some(stage)) => {
            let cause = stage.rollback.as_ref().map(|r| r.cause.clone()).unwrap_or_default();
            notice.because(&cause)
        }
        (DeploymentOutcome::Failed, Some(stage)) => {
            let cause = evidence::cause(stage).unwrap_or_default();
            Notice { evidence: evidence::of_failure(stage), ..notice }.because(&cause)
        }
        _ => notice,
    }
}

/// " in production", where a stage is open.
fn of_stage(stage: Option<&Stage>) -> String {
    stage.map(|stage| format!(" in {}", stage.spec.environment)).unwrap_or_default()
}

/// `001_add`, `001_add and 3 more`.
fn names(deployment: &Deployment) -> String {
    match &deployment.migrations[..] {
        [] => "nothing".to_owned(),
        [one] => one.id.to_string(),
        [one, two] => format!("{} and {}", one.id, two.id),
        [one, more @ ..] => format!("{} and {} more", one.id, more.len()),
    }
}

#[cfg(test)]
mod tests;
