//! Every method that operators may call, with the role that it needs and where. A method that is not here is refused.
//!
//! Which environments a request comes to be about is found out in `control`; whether the caller's role suffices there, in
//! `access`.

use stopover_model::role::Role;

/// Where the role has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In one environment or another.
    Anywhere,
    /// In all environments, those that are made later as well.
    Everywhere,
    /// In the environment that the request names. Where it may name none: in any one, and the answer has only what is of
    /// environments with the role.
    Named,
    /// In each environment that the pipeline has a stage in.
    Pipeline,
    /// In each environment that the deployment has a stage in.
    Deployment,
    /// In any one of these.
    Stages,
    /// In the environment of the stage that the request comes to be about.
    Stage,
    /// Wherever it counts what the request brings: the roles that a token gives or loses, the stages of a pipeline as it was
    /// and as it is to be.
    Given,
}

/// A method of the Control service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) name: &'static str,
    /// In the words of a refusal: "to deploy".
    pub(super) verb: &'static str,
    pub(super) role: Role,
    pub(super) place: Place,
    /// It changes something, or has an agent do something that lasts.
    pub(super) changes: bool,
}

const fn reads(name: &'static str, verb: &'static str, place: Place) -> Method {
    Method { name, verb, role: Role::Viewer, place, changes: false }
}

const fn changes(name: &'static str, verb: &'static str, role: Role, place: Place) -> Method {
    Method { name, verb, role, place, changes: true }
}

pub(super) const CONTROL: &[Method] = {
    use Place::{Anywhere, Deployment, Everywhere, Given, Named, Pipeline, Stage, Stages};
    use Role::{Admin, Approver, Operator};
    &[
        reads("Plan", "plan", Pipeline),
        reads("Watch", "watch a deployment", Stages),
        reads("GetDeployment", "look at a deployment", Stages),
        reads("Glance", "look at a deployment", Stages),
        reads("ListDeployments", "list deployments", Anywhere),
        reads("PlanRollback", "plan a rollback", Stages),
        reads("ReadHistories", "read what other tools applied", Named),
        reads("ReadDrift", "look for drift", Named),
        reads("ListBackups", "list backups", Named),
        reads("ListSaved", "list what is saved", Named),
        reads("ListTokens", "list tokens", Anywhere),
        reads("ListFollowUps", "list follow-ups", Stages),
        reads("ListNotifications", "list notifications", Anywhere),
        reads("ListEnvironments", "list environments", Anywhere),
        reads("ListAgents", "list agents", Anywhere),
        Method {
            name: "ListAudit",
            verb: "read the audit log",
            role: Admin,
            place: Everywhere,
            changes: false,
        },
        Method { name: "ListPeople", verb: "list people", role: Admin, place: Everywhere, changes: false },
        reads("WhoAmI", "ask who they are", Anywhere),
        reads("GetPipeline", "look at a pipeline", Anywhere),
        changes("Deploy", "deploy", Operator, Pipeline),
        changes("TestNotifications", "try notifications", Operator, Pipeline),
        changes("Rehearse", "rehearse", Operator, Named),
        changes("CancelDeployment", "cancel a deployment", Operator, Deployment),
        changes("RollbackDeployment", "roll back", Operator, Stage),
        // Whoever sees something go wrong may stop it.
        changes("PauseDeployment", "pause a deployment", Operator, Stages),
        changes("ResumeDeployment", "resume a deployment", Operator, Deployment),
        changes("ThrottleDeployment", "throttle a deployment", Operator, Deployment),
        changes("ResolveDeployment", "resolve a step", Operator, Deployment),
        changes("TickItem", "tick an item", Operator, Stage),
        changes("AnswerHook", "answer a hook", Operator, Stage),
        changes("RecordApplied", "record migrations as applied", Operator, Named),
        changes("VerifyBackup", "verify a backup", Operator, Named),
        changes("RestoreBackup", "restore a backup", Operator, Named),
        changes("RestoreSaved", "restore what is saved", Operator, Named),
        changes("AcknowledgeFollowUp", "acknowledge a follow-up", Operator, Stages),
        changes("ApproveDeployment", "approve", Approver, Stage),
        changes("RejectDeployment", "reject", Approver, Stage),
        changes("ApproveRestore", "approve a restore", Approver, Named),
        changes("AcceptDrift", "accept drift", Approver, Named),
        changes("OverrideWindow", "override a window", Admin, Stage),
        changes("PurgeSaved", "purge what is saved", Admin, Named),
        changes("CreateEnvironment", "create an environment", Admin, Named),
        changes("CreateJoinToken", "let an agent join", Admin, Named),
        changes("ApplyPipeline", "store a pipeline", Admin, Given),
        changes("CreateToken", "make a token", Admin, Given),
        changes("RevokeToken", "revoke a token", Admin, Given),
        changes("ForgetPerson", "forget whose account somebody is", Admin, Everywhere),
    ]
};

/// What anybody may ask who reaches the port, without a token: how one gets in.
pub(super) const OPEN: &[&str] = &["ShowLogin"];

pub(super) fn is_open(path: &str) -> bool {
    path.strip_prefix("/stopover.v1.Control/").is_some_and(|name| OPEN.contains(&name))
}

/// The method that a request's path leads to.
pub(super) fn of_path(path: &str) -> Option<&'static Method> {
    let name = path.strip_prefix("/stopover.v1.Control/")?;
    CONTROL.iter().find(|method| method.name == name)
}
