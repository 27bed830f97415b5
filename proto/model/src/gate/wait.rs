//! What a closed gate waits for, and why somebody may not open it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::digest::Digest;
use crate::id::{EnvironmentName, HookName, OperatorName};
use crate::pipeline::Approver;

/// A closed gate. It goes into the log when it changes: nothing in it may change by itself while time passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "snake_case")]
pub enum GateWait {
    Approvals {
        have: u32,
        need: u32,
        /// Empty: anybody but the one who created the deployment.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        approvers: Vec<Approver>,
    },
    Checklist {
        /// Those that are not ticked.
        items: Vec<String>,
    },
    /// A hook has not passed.
    Hook {
        name: HookName,
        /// Nobody calls it: a person or a program says how it went.
        external: bool,
        /// It fails then.
        until: Timestamp,
    },
    /// No window is open.
    Window {
        /// None: not within the next two years.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opens: Option<Timestamp>,
    },
    /// A window is open, and closes before the next migration would be through.
    WindowTooShort {
        #[serde(with = "crate::duration")]
        needs: Duration,
        closes: Timestamp,
        /// The next one that is long enough. None: there is none within the next two years.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opens: Option<Timestamp>,
    },
    /// Nothing is migrated before that.
    Freeze { until: Timestamp },
}

/// Why somebody may not open a gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateRefusal {
    #[error(
        "the stage {environment} needs no approval; to hold the deployment: stopover pause, to stop it: stopover cancel"
    )]
    NeedsNone { environment: EnvironmentName },
    #[error(
        "there is nothing to approve in {environment} yet: its databases are not all planned; stopover status shows how \
         far it is"
    )]
    NotPlanned { environment: EnvironmentName },
    #[error("nothing would be applied in {environment}: there is nothing to approve")]
    NothingToApply { environment: EnvironmentName },
    #[error(
        "{environment} has begun to migrate: it is too late to approve or to reject; stopover pause holds it, stopover \
         rollback takes it back"
    )]
    Begun { environment: EnvironmentName },
    #[error("{by} created this deployment, and nobody approves or rejects their own; {who} could")]
    Own { by: OperatorName, who: String },
    #[error(
        "{by} has approved this plan already, whatever token was used; it has {have} of {need} approvals; {who} could \
         give the next one"
    )]
    Twice { by: OperatorName, have: u32, need: u32, who: String },
    #[error("{by} is not one of those who approve in {environment}; {who} could")]
    NotAnApprover { by: OperatorName, environment: EnvironmentName, who: String },
    #[error(
        "the plan for {environment} is no longer the one that was looked at ({} then, {} now); look at stopover status \
         again, and approve what it shows", given.short(), now.short()
    )]
    OtherDigest { environment: EnvironmentName, given: Digest, now: Digest },
    #[error("the checklist of {environment} has no item `{given}`{}", choices(nearest.as_deref(), items))]
    NoItem { environment: EnvironmentName, given: String, nearest: Option<String>, items: Vec<String> },
    #[error("{environment} has no window and no freeze: there is nothing to override")]
    NoWindow { environment: EnvironmentName },
    #[error("{environment} has no hook {name}{}", hooks_there(hooks))]
    NoHook { environment: EnvironmentName, name: HookName, hooks: Vec<HookName> },
    #[error(
        "nobody waits for the hook {name} yet: {environment} has not come to it; stopover status shows how far it is"
    )]
    HookNotBegun { environment: EnvironmentName, name: HookName },
    #[error("the hook {name} of {environment} has {how} already, says {by}; nothing was changed")]
    HookEnded { environment: EnvironmentName, name: HookName, how: &'static str, by: Actor },
    #[error(
        "nobody waits for the hook {name} of {environment} any more: its stage has stopped or ended; nothing was changed"
    )]
    HookPast { environment: EnvironmentName, name: HookName },
    #[error(
        "the hook {name} of {environment} is called, and passes by the answer of who is called alone; stopover fail says \
         that it can't"
    )]
    HookIsCalled { environment: EnvironmentName, name: HookName },
    #[error("`{item}` was ticked already, by {by}")]
    TickedAlready { item: String, by: OperatorName },
}

impl GateWait {
    /// Whether somebody has to say something.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        matches!(self, Self::Approvals { .. } | Self::Checklist { .. } | Self::Hook { external: true, .. })
    }

    /// When it opens, or fails, by itself.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Approvals { .. } | Self::Checklist { .. } => None,
            Self::Hook { until, .. } | Self::Freeze { until } => Some(*until),
            Self::Window { opens } | Self::WindowTooShort { opens, .. } => *opens,
        }
    }
}

fn hooks_there(hooks: &[HookName]) -> String {
    if hooks.is_empty() {
        return ": it has none".to_owned();
    }
    let names: Vec<_> = hooks.iter().map(HookName::as_str).collect();
    format!("; it has {}", names.join(", "))
}

fn choices(nearest: Option<&str>, items: &[String]) -> String {
    match nearest {
        Some(item) => format!("; did you mean `{item}`?"),
        None if items.is_empty() => ": it has no checklist".to_owned(),
        None => format!("; it has `{}`", items.join("`, `")),
    }
}
