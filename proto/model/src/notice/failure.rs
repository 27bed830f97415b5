//! What is told where a stage came to a stop.

use super::{Notice, evidence};
use crate::deployment::{Deployment, Stage};
use crate::event::Record;
use crate::pipeline::NoticeKind;

/// A step failed, or its outcome is UNKNOWN, and everything is held until a person decides.
pub(super) fn stopped(before: &Deployment, record: &Record, stage: Option<&Stage>, cause: &str) -> Notice {
    let id = &before.id;
    let unknown = stage.is_some_and(evidence::is_unknown);
    let place = stage.map_or("the deployment", |stage| stage.spec.environment.as_str());
    let hook = stage.and_then(|stage| stage.gates.failed_hook(&stage.spec));
    let happened = if let Some((hook, _)) = hook {
        format!("{place} has stopped: the hook {hook} failed, and everything is held as it is")
    } else if unknown {
        format!("{place} has stopped: nobody knows whether a step took effect")
    } else {
        format!("{place} has stopped: a step failed, and everything is held as it is")
    };
    let notice = Notice::new(before, record, NoticeKind::Failed, happened).in_stage(stage).because(cause);
    let notice =
        Notice { waits: true, evidence: stage.map(evidence::of_failure).unwrap_or_default(), ..notice }
            .typing(format!("stopover status {id}"), "shows what is there, step by step");
    if unknown {
        return Notice { who: Some("somebody who can look at the database".into()), ..notice }
            .typing(format!("stopover resolve {id} --applied"), "says that the change is there")
            .typing(
                format!("stopover resolve {id} --not-applied"),
                "says that it is not; it is tried again",
            );
    }
    let notice = Notice { who: Some("somebody who decides whether it goes on or back".into()), ..notice }
        .typing(format!("stopover resume {id}"), "tries again, with the same files");
    let notice = if stage.is_some_and(Stage::has_effects) {
        notice.typing(format!("stopover rollback {id} --plan"), "says what taking it back would lose")
    } else {
        notice
    };
    notice.typing(format!("stopover cancel {id}"), "stops here and leaves what was applied")
}

/// A step failed, and the stage's changes are taken back by themselves.
pub(super) fn taken_back(before: &Deployment, record: &Record, stage: &Stage, cause: &str) -> Notice {
    let happened = format!("{} failed and is being taken back", stage.spec.environment);
    let notice =
        Notice::new(before, record, NoticeKind::Failed, happened).in_stage(Some(stage)).because(cause);
    Notice {
        evidence: evidence::of_failure(stage),
        who: Some("nobody for now; how the rollback ends is told as well".into()),
        ..notice
    }
    .typing(format!("stopover watch {}", before.id), "shows it live")
}

/// Taking back came to a stop.
pub(super) fn rollback_failed(before: &Deployment, record: &Record, stage: &Stage, cause: &str) -> Notice {
    let id = &before.id;
    let happened = format!("ROLLBACK FAILED in {}, which is half taken back", stage.spec.environment);
    let notice =
        Notice::new(before, record, NoticeKind::Failed, happened).in_stage(Some(stage)).because(cause);
    Notice {
        waits: true,
        evidence: evidence::of_failure(stage),
        who: Some("somebody who can look at the database".into()),
        ..notice
    }
    .typing(format!("stopover status {id}"), "shows what is taken back and what stands")
    .typing(format!("stopover resume {id}"), "goes on, once the cause is removed")
    .typing(format!("stopover resolve {id} --applied"), "says that you took it back by hand")
    .typing(format!("stopover cancel {id}"), "gives it up as it is")
}
