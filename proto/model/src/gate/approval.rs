//! Approvals: people who have seen a stage's plans and agree to them.
//!
//! Each is bound to the digest of what was seen. Nobody approves what they have created themselves, and one person counts
//! once, however many tokens they hold: a person is a name.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::wait::{GateRefusal, GateWait};
use crate::digest::Digest;
use crate::id::{GroupName, OperatorName};
use crate::pipeline::{ApprovalSettings, StageSpec};

/// A person's yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub by: OperatorName,
    /// Of the stage's plans, as they were seen.
    pub digest: Digest,
    /// May be empty.
    pub reason: String,
    pub at: Timestamp,
}

/// A person's no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    pub by: OperatorName,
    pub reason: String,
    pub at: Timestamp,
}

/// Approvals that no longer count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voided {
    pub why: String,
    pub at: Timestamp,
}

/// Somebody who wants to approve or to reject, and what is known of what they speak of.
#[derive(Debug, Clone, Copy)]
pub struct Approving<'a> {
    pub spec: &'a StageSpec,
    /// Who created the deployment.
    pub creator: &'a OperatorName,
    pub by: &'a OperatorName,
    pub groups: &'a [GroupName],
}

impl Approving<'_> {
    /// Whether this person's word counts in the stage at all.
    pub fn check(&self) -> Result<(), GateRefusal> {
        let environment = self.spec.environment.clone();
        let settings = &self.spec.approvals;
        if settings.needed == 0 {
            return Err(GateRefusal::NeedsNone { environment });
        }
        if self.by == self.creator {
            let who = settings.who(&[self.creator]);
            return Err(GateRefusal::Own { by: self.by.clone(), who });
        }
        if !settings.names(self.by, self.groups) {
            let who = settings.who(&[self.creator]);
            return Err(GateRefusal::NotAnApprover { by: self.by.clone(), environment, who });
        }
        Ok(())
    }

    /// Whether this person has yet to approve.
    pub fn check_first(&self, before: &[Approval]) -> Result<(), GateRefusal> {
        if !before.iter().any(|approval| approval.by == *self.by) {
            return Ok(());
        }
        let mut all: Vec<_> = before.iter().map(|approval| &approval.by).collect();
        all.push(self.creator);
        let who = self.spec.approvals.who(&all);
        let (have, need) = (count(before), self.spec.approvals.needed);
        Err(GateRefusal::Twice { by: self.by.clone(), have, need, who })
    }
}

pub(super) fn wait(approvals: &[Approval], settings: &ApprovalSettings) -> Option<GateWait> {
    let (have, need) = (count(approvals), settings.needed);
    (have < need).then(|| GateWait::Approvals { have, need, approvers: settings.approvers.clone() })
}

fn count(approvals: &[Approval]) -> u32 {
    u32::try_from(approvals.len()).unwrap_or(u32::MAX)
}
