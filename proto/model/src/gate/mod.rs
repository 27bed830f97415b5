//! Gates: what must be true before a stage's first migration, besides a plan that can be carried out.
//!
//! All of a stage's gates are open to be passed at once, in any order, so that whoever looks sees everything that is
//! missing. What was passed is [`GateState`], folded from the deployment's events; what is missing is made of it and of the
//! pipeline's stage, by nothing but these two and the time. Who a person is, is found out by the server; the rules of who may
//! do what are here.

mod agreed;
mod approval;
mod checklist;
mod hook;
mod wait;
pub mod window;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use agreed::{Agreed, changes, digest_of};
pub use approval::{Approval, Approving, Rejection, Voided};
pub use checklist::{Tick, find_item};
pub use hook::{HookEnd, HookOutcome, HookRun, hook_call_id, in_front_of};
pub use wait::{GateRefusal, GateWait};

use crate::id::{HookName, OperatorName};
use crate::pipeline::{Hook, HookPlace, HookStep, StageSpec};

/// What of a stage's gates was passed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateState {
    /// Those that count, each of another person.
    pub approvals: Vec<Approval>,
    /// Why earlier ones do not.
    pub voided: Option<Voided>,
    /// Who said no; until somebody resumes the deployment.
    pub rejection: Option<Rejection>,
    /// The checklist's items that are done.
    pub ticked: BTreeMap<String, Tick>,
    /// The last call of each hook that was begun.
    pub hooks: BTreeMap<HookName, HookRun>,
    /// The stage may go on outside of its windows.
    pub overridden: Option<WindowOverride>,
}

/// An administrator's word that a stage does not wait for its window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowOverride {
    pub by: OperatorName,
    pub reason: String,
    pub at: Timestamp,
}

/// Whether anything has to be opened before the stage's first migration, once its databases were looked at.
#[must_use]
pub fn has_gates(spec: &StageSpec) -> bool {
    let is_in_front = |place| place == HookPlace::BEFORE || in_front_of(HookStep::Migrate).contains(&place);
    let mut places = spec.hooks.iter().map(Hook::place);
    let hooks = places.any(|place| is_in_front(place) && place != HookPlace::before(HookStep::Inspect));
    hooks || spec.approvals.needed > 0 || !spec.checklist.is_empty() || !spec.calendar.is_empty()
}

impl GateState {
    /// The gates that people open by a word of theirs alone, in the order in which people are told of them; for windows see
    /// [`window::closed`], and hooks are begun and ended by what is decided.
    #[must_use]
    pub fn closed(&self, spec: &StageSpec) -> Vec<GateWait> {
        let approvals = approval::wait(&self.approvals, &spec.approvals);
        let checklist = checklist::wait(&self.ticked, &spec.checklist);
        approvals.into_iter().chain(checklist).collect()
    }

    /// Whether nothing is missing that people have to do. What depends on the time is not asked.
    #[must_use]
    pub fn asks_nobody(&self, spec: &StageSpec) -> bool {
        self.closed(spec).iter().all(|gate| !gate.is_for_people())
    }

    /// Somebody says no: what others agreed to before no longer counts.
    pub(crate) fn reject(&mut self, rejection: Rejection) {
        self.approvals.clear();
        self.rejection = Some(rejection);
    }

    /// The plan is not what was agreed to.
    pub(crate) fn void(&mut self, voided: Voided) {
        self.approvals.clear();
        self.voided = Some(voided);
    }
}
