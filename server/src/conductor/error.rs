//! What can go wrong between an operator's request and the log.

use stopover_lint::UnknownRule;
use stopover_model::config::ConfigError;
use stopover_model::deployment::IllegalEvent;
use stopover_model::digest::Digest;
use stopover_model::follow_up::InvalidAcknowledgement;
use stopover_model::id::{BackupId, DatabaseName, DeploymentId, EnvironmentName, OperatorName, Seq};
use stopover_model::report::StepError;

use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum ConductError {
    #[error("there is no deployment {0}; `stopover list` shows them")]
    NoDeployment(String),
    /// It makes no sense in the deployment's present state.
    #[error(transparent)]
    Illegal(#[from] IllegalEvent),
    #[error(
        "the environment {environment} is in use by deployment {by}; wait for it, or cancel it: stopover cancel {by}"
    )]
    Held { environment: String, by: DeploymentId },
    #[error(
        "`stopover adopt`, `stopover baseline` or `stopover backup restore` works in the environment {0} right now; try again when it has ended"
    )]
    OtherAct(EnvironmentName),
    #[error("no agent has joined the environment {0} yet: stopover agent token {0}")]
    NoAgentYet(EnvironmentName),
    #[error("no agent of {environment} serves a database {database}; there is {there}")]
    NoDatabase { environment: EnvironmentName, database: DatabaseName, there: String },
    /// Taking it back would pull the ground from under what others have applied on top.
    #[error("nothing was taken back: {}{}", .0.message, hint(.0))]
    NotLast(Box<StepError>),
    #[error("nothing of deployment {0} is in any database: there is nothing to roll back")]
    NothingToRollBack(DeploymentId),
    #[error("no step of deployment {0} has an UNKNOWN outcome, and no rollback of it has failed")]
    NothingUnknown(DeploymentId),
    #[error(
        "several steps of deployment {0} have an UNKNOWN outcome, or are rollbacks that failed; name one"
    )]
    SeveralUnknown(DeploymentId),
    #[error(
        "the plan was to have the digest {expected}, and has {found}: the migration or the pipeline has changed; look at `stopover plan` again"
    )]
    Digest { expected: Digest, found: Digest },
    #[error("the migration {0} is given twice")]
    TwiceGiven(stopover_model::id::MigrationId),
    /// A stage of the pipeline refuses what the linter found in a script that would run there.
    #[error("no deployment was made: {}{}", .0.message, hint(.0))]
    Linted(Box<StepError>),
    /// What was rolled back in one of the pipeline's environments.
    #[error("no deployment was made: {}{}", .0.message, hint(.0))]
    Quarantined(Box<StepError>),
    #[error(
        "no deployment was made: {environment} needs approvals ({needed}), nobody approves their own deployment, and without \
         {by} only {who} could; let another person deploy it, or add approvers to the pipeline: stopover pipeline apply"
    )]
    NobodyCouldApprove { environment: EnvironmentName, by: OperatorName, needed: u32, who: String },
    #[error(
        "nothing was restored: {environment} needs approvals, and replacing {database} with {backup} has {have} of {need}; {who} could approve it: \
         stopover backup approve {backup}, then the same again within an hour"
    )]
    RestoreUnapproved {
        environment: EnvironmentName,
        database: DatabaseName,
        backup: BackupId,
        have: u32,
        need: u32,
        who: String,
    },
    #[error("no stage of a pipeline in {0} needs approvals: a restore there needs none either")]
    NoRestoreApproval(EnvironmentName),
    #[error(
        "a stored pipeline can't be read, and may ask for approvals; correct it with `stopover pipeline apply`: {0}"
    )]
    StoredPipeline(Box<ConfigError>),
    #[error("the pipeline's [lint] can't be followed; correct it with `stopover pipeline apply`")]
    Rule(#[from] UnknownRule),
    #[error("no migration was given")]
    NoMigration,
    #[error("nothing called \"{name}\" is looked at after deployment {deployment}; there is {}", none_or(.there))]
    NoFollowUp { deployment: DeploymentId, name: String, there: String },
    #[error(transparent)]
    Acknowledgement(#[from] InvalidAcknowledgement),
    #[error(
        "the log of deployment {0} makes no sense to this server, which leaves it alone; its log says why. Restore the store from its backup"
    )]
    Unreadable(DeploymentId),
    #[error("the store can't be read now; the server's log says why. Ask again in a moment")]
    StoreAway,
    #[error(
        "deployment {deployment} has {last} events, and the watch was to begin after {after}; begin at 0"
    )]
    BeyondLog { deployment: DeploymentId, last: Seq, after: Seq },
    #[error("this request_id made deployment {0} already, of other migrations; draw another")]
    RequestUsed(DeploymentId),
    #[error("the server is stopping; ask again in a moment")]
    Stopping,
    #[error("the deployment's log has changed under this request; ask again")]
    Conflict,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn none_or(there: &str) -> &str {
    if there.is_empty() { "no follow-up" } else { there }
}

/// On a line of its own, as in the errors of configuration files.
fn hint(error: &StepError) -> String {
    error.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default()
}
