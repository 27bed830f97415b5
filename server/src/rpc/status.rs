//! The only place that turns what went wrong into a gRPC status: a code, a message that tells the way out, and a stable
//! name for programs in the metadata `stopover-code`.

use std::error::Error;

use jiff::Timestamp;
use stopover_model::config::ConfigError;
use stopover_model::deployment::IllegalEvent;
use stopover_model::follow_up::InvalidAcknowledgement;
use stopover_model::gate::GateRefusal;
use stopover_model::id::{
    AgentName, DeploymentId, EnvironmentName, InvalidId, OperatorName, PipelineName, Seq, TokenId,
};
use stopover_proto::convert::{AtField as _, InvalidBundle, InvalidWire};
use stopover_proto::token::InvalidToken;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

use super::lacking::Lacking;
use crate::audit::AuditError;
use crate::authority::IssueError;
use crate::conductor::ConductError;
use crate::oidc::OidcError;
use crate::store::StoreError;

/// The name of the metadata in which an error has its stable name.
const CODE: &str = "stopover-code";

/// The identity provider is; this server is not.
pub(super) const ISSUER_AWAY: &str = "issuer_away";

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum RpcError {
    #[error(
        "this call needs an operator's token; set STOPOVER_TOKEN (in gRPC: the metadata `authorization: Bearer TOKEN`)"
    )]
    NoToken,
    #[error("the operator's token is not known here; check STOPOVER_TOKEN and STOPOVER_SERVER")]
    BadToken,
    #[error("the token {id} was revoked on {}; ask an administrator for another", day(at))]
    TokenRevoked { id: TokenId, at: Timestamp },
    #[error(
        "the token {id} was good until {}; ask an administrator for another: stopover token create {operator}",
        day(at)
    )]
    TokenEnded { id: TokenId, operator: OperatorName, at: Timestamp },
    #[error(transparent)]
    Oidc(#[from] OidcError),
    #[error(
        "a signed token (JWT) was shown, and this server takes none: its server.toml has no [oidc]; use an operator's token"
    )]
    NoOidc,
    #[error("{0}")]
    Lacking(Box<Lacking>),
    #[error("this server has no method {}; a newer one may", .0.escape_debug())]
    NoMethod(String),
    #[error(
        "the token would let {0} do nothing: give it a role (--role operator@staging), or a group that has one by the \
         server's settings"
    )]
    NoRole(OperatorName),
    #[error("there is no token {0}; `stopover token list` shows them")]
    NoSuchToken(TokenId),
    #[error(
        "the token {0} is the last one of an administrator: without it nobody could make tokens; make another first: \
         stopover token create NAME --admin"
    )]
    LastAdmin(TokenId),
    #[error(
        "{name} is another account of {issuer} here (this one is `{}`), and nobody becomes somebody else by a name; let it be \
         called otherwise there, or, where it was made anew, an administrator gives the name away: stopover person forget {name}",
        .subject.escape_debug()
    )]
    NameTaken { name: OperatorName, issuer: String, subject: String },
    #[error(
        "no account of an identity provider stands for {0}; `stopover person list` shows those that stand for somebody"
    )]
    NoSuchPerson(OperatorName),
    #[error("the request is larger than {} KiB, which is the most that this call takes", limit / 1024)]
    TooLarge { limit: usize },
    #[error("{0}")]
    Field(#[from] InvalidWire),
    #[error(transparent)]
    Bundle(#[from] InvalidBundle),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("several deployments begin with `{0}`; write more of the id")]
    SeveralDeployments(String),
    #[error("deployment {deployment} has no stage in `{given}`; its stages are {stages}")]
    NoStage { deployment: String, given: String, stages: String },
    #[error("no pipeline is stored yet; `stopover pipeline apply FILE` stores one")]
    NoPipelines,
    #[error("there is no pipeline `{0}`; there is {1}")]
    NoPipeline(PipelineName, String),
    #[error("the pipeline {0} has no stage in {1}; leave out --pipeline, or add the stage")]
    NoStageIn(PipelineName, EnvironmentName),
    #[error("several pipelines are stored: {0}; name one with --pipeline")]
    SeveralPipelines(String),
    #[error("the pipeline {0} tells nobody; add a [[notify]] to its file and apply it")]
    NobodyIsTold(PipelineName),
    #[error("the pipeline is not stored, since {target} could not be told of anything: {why}")]
    CannotTell { target: String, why: String },
    #[error("the environment {0} exists already")]
    EnvironmentExists(EnvironmentName),
    #[error("there is no environment {0}; `stopover environment create {0}` makes it")]
    NoEnvironment(EnvironmentName),
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error(transparent)]
    Issue(#[from] IssueError),
    #[error("the join token is unknown, used or expired; `stopover agent token ENVIRONMENT` makes another")]
    JoinRefused,
    #[error("too many join tokens were wrong; try again in {seconds} s")]
    Guessing { seconds: u64 },
    #[error("an agent of another environment has the name {0}; choose another (the token is still good)")]
    AgentNameTaken(AgentName),
    #[error("this call needs an agent's certificate; `stopover-agent join` gets one")]
    NotAnAgent,
    #[error("the identity of agent {0} was revoked or replaced; let it join again with a new token")]
    AgentRevoked(AgentName),
    #[error(
        "the agent's identity is for the environment {certified}, and its agent.toml says {described}; let it join the right one"
    )]
    OtherEnvironment { certified: EnvironmentName, described: String },
    #[error(
        "the log of deployment {deployment} has {events} events, too many for one answer; read it with Watch"
    )]
    LongLog { deployment: DeploymentId, events: Seq },
    #[error("the server is stopping; come again in a moment")]
    Stopping,
    #[error(transparent)]
    Conduct(#[from] ConductError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the audit log can't be written, and nothing is changed without it")]
    Audit(#[from] AuditError),
    #[error("the agent's tunnel can't be used: {0}")]
    Tunnel(Status),
}

impl RpcError {
    /// An identifier in a field of the request.
    pub(super) fn id(field: &'static str) -> impl FnOnce(InvalidId) -> Self {
        move |error| Self::Field(InvalidWire::from(error).at_field(field))
    }

    fn code(&self) -> (Code, &'static str) {
        match self {
            Self::NoToken => (Code::Unauthenticated, "no_token"),
            Self::BadToken => (Code::Unauthenticated, "bad_token"),
            Self::TokenRevoked { .. } => (Code::Unauthenticated, "token_revoked"),
            Self::TokenEnded { .. } => (Code::Unauthenticated, "token_ended"),
            Self::Oidc(error) => oidc_code(error),
            Self::NoOidc => (Code::Unauthenticated, "no_oidc"),
            Self::Lacking(_) => (Code::PermissionDenied, "role_needed"),
            Self::NoMethod(_) => (Code::Unimplemented, "no_method"),
            Self::NoRole(_) => (Code::InvalidArgument, "no_role"),
            Self::NoSuchToken(_) => (Code::NotFound, "no_such_token"),
            Self::NameTaken { .. } => (Code::PermissionDenied, "name_taken"),
            Self::NoSuchPerson(_) => (Code::NotFound, "no_such_person"),
            Self::LastAdmin(_) => (Code::FailedPrecondition, "last_admin"),
            Self::TooLarge { .. } => (Code::ResourceExhausted, "too_large"),
            Self::Field(_) | Self::Bundle(InvalidBundle::Wire(_)) => (Code::InvalidArgument, "bad_field"),
            Self::Bundle(InvalidBundle::Migration(_)) => (Code::InvalidArgument, "bad_migration"),
            Self::Config(_) => (Code::InvalidArgument, "bad_pipeline"),
            Self::SeveralDeployments(_) => (Code::InvalidArgument, "several_deployments"),
            Self::NoStage { .. } | Self::NoStageIn(..) => (Code::InvalidArgument, "no_stage"),
            Self::NoPipelines | Self::NoPipeline(..) => (Code::NotFound, "no_pipeline"),
            Self::SeveralPipelines(_) => (Code::InvalidArgument, "several_pipelines"),
            Self::NobodyIsTold(_) => (Code::FailedPrecondition, "nobody_is_told"),
            Self::CannotTell { .. } => (Code::FailedPrecondition, "cannot_tell"),
            Self::EnvironmentExists(_) => (Code::AlreadyExists, "environment_exists"),
            Self::NoEnvironment(_) => (Code::NotFound, "no_environment"),
            Self::Token(_) => (Code::InvalidArgument, "bad_join_token"),
            Self::Issue(IssueError::Request(_)) => (Code::InvalidArgument, "bad_csr"),
            Self::Issue(IssueError::Sign(_)) => (Code::Internal, "not_signed"),
            Self::JoinRefused => (Code::PermissionDenied, "join_refused"),
            Self::Guessing { .. } => (Code::ResourceExhausted, "guessing"),
            Self::AgentNameTaken(_) => (Code::AlreadyExists, "agent_name_taken"),
            Self::NotAnAgent => (Code::Unauthenticated, "not_an_agent"),
            Self::AgentRevoked(_) => (Code::PermissionDenied, "agent_revoked"),
            Self::OtherEnvironment { .. } => (Code::PermissionDenied, "other_environment"),
            Self::LongLog { .. } => (Code::ResourceExhausted, "long_log"),
            Self::Stopping => (Code::Unavailable, "stopping"),
            Self::Conduct(error) => conduct_code(error),
            Self::Store(error) => store_code(error),
            Self::Audit(_) => (Code::Unavailable, "audit_failed"),
            Self::Tunnel(status) => (status.code(), "tunnel"),
        }
    }
}

/// The stable name in a status.
pub(super) fn name_of(status: &Status) -> &str {
    status.metadata().get(CODE).and_then(|name| name.to_str().ok()).unwrap_or_default()
}

impl From<RpcError> for Status {
    fn from(error: RpcError) -> Self {
        let (code, name) = error.code();
        let mut message = error.to_string();
        if matches!(
            error,
            RpcError::Audit(_) | RpcError::Store(_) | RpcError::Conduct(ConductError::Store(_))
        ) {
            // What the database said may hold what is nobody's business over the wire.
            tracing::error!(error = &error as &dyn Error, "a call failed");
            message.push_str("; the server's log says why");
        }
        let mut metadata = MetadataMap::new();
        metadata.insert(CODE, MetadataValue::from_static(name));
        Self::with_metadata(code, message, metadata)
    }
}

fn day(at: &Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%d %H:%M UTC")
}

fn oidc_code(error: &OidcError) -> (Code, &'static str) {
    match error {
        OidcError::Away { .. } => (Code::Unavailable, ISSUER_AWAY),
        OidcError::Ended { .. } => (Code::Unauthenticated, "sign_in_ended"),
        _ => (Code::Unauthenticated, "sign_in_refused"),
    }
}

fn conduct_code(error: &ConductError) -> (Code, &'static str) {
    match error {
        ConductError::NoDeployment(_) => (Code::NotFound, "no_deployment"),
        ConductError::Illegal(IllegalEvent::Gate(refusal)) => gate_code(refusal),
        ConductError::Illegal(_) => (Code::FailedPrecondition, "illegal_now"),
        ConductError::Held { .. } | ConductError::OtherAct(_) => {
            (Code::FailedPrecondition, "environment_held")
        }
        ConductError::NoAgentYet(_) => (Code::FailedPrecondition, "no_agent"),
        ConductError::NoDatabase { .. } => (Code::NotFound, "no_database"),
        ConductError::NothingToRollBack(_) => (Code::FailedPrecondition, "nothing_to_roll_back"),
        ConductError::NothingUnknown(_) => (Code::FailedPrecondition, "nothing_unknown"),
        ConductError::SeveralUnknown(_) => (Code::FailedPrecondition, "several_unknown"),
        ConductError::Digest { .. } => (Code::FailedPrecondition, "other_digest"),
        ConductError::TwiceGiven(_) => (Code::InvalidArgument, "migration_twice"),
        ConductError::Linted(_) => (Code::FailedPrecondition, "refused_by_lint"),
        ConductError::Quarantined(_) => (Code::FailedPrecondition, "quarantined"),
        ConductError::NotLast(_) => (Code::FailedPrecondition, "not_last"),
        ConductError::Rule(_) | ConductError::StoredPipeline(_) => (Code::FailedPrecondition, "bad_pipeline"),
        ConductError::RestoreUnapproved { .. } => (Code::FailedPrecondition, "restore_unapproved"),
        ConductError::NoRestoreApproval(_) => (Code::FailedPrecondition, "no_approval_needed"),
        ConductError::NobodyCouldApprove { .. } => (Code::FailedPrecondition, "nobody_could_approve"),
        ConductError::NoFollowUp { .. } => (Code::NotFound, "no_follow_up"),
        ConductError::Acknowledgement(InvalidAcknowledgement::NoReason) => {
            (Code::InvalidArgument, "no_reason")
        }
        ConductError::Acknowledgement(InvalidAcknowledgement::NotFailed(_)) => {
            (Code::FailedPrecondition, "not_failed")
        }
        ConductError::NoMigration => (Code::InvalidArgument, "no_migration"),
        ConductError::Unreadable(_) => (Code::Internal, "store_spoilt"),
        ConductError::StoreAway => (Code::Unavailable, "store_failed"),
        ConductError::BeyondLog { .. } => (Code::FailedPrecondition, "beyond_log"),
        ConductError::RequestUsed(_) => (Code::AlreadyExists, "request_used"),
        ConductError::Stopping => (Code::Unavailable, "stopping"),
        ConductError::Conflict => (Code::Unavailable, "conflict"),
        ConductError::Store(error) => store_code(error),
    }
}

fn gate_code(refusal: &GateRefusal) -> (Code, &'static str) {
    match refusal {
        GateRefusal::Own { .. } => (Code::PermissionDenied, "own_deployment"),
        GateRefusal::NotAnApprover { .. } => (Code::PermissionDenied, "not_an_approver"),
        GateRefusal::Twice { .. } => (Code::FailedPrecondition, "approved_already"),
        GateRefusal::OtherDigest { .. } => (Code::FailedPrecondition, "other_digest"),
        GateRefusal::NoItem { .. } => (Code::InvalidArgument, "no_item"),
        GateRefusal::NoHook { .. } => (Code::InvalidArgument, "no_hook"),
        GateRefusal::HookEnded { .. } => (Code::FailedPrecondition, "hook_ended"),
        GateRefusal::HookIsCalled { .. } => (Code::FailedPrecondition, "hook_is_called"),
        GateRefusal::TickedAlready { .. } => (Code::FailedPrecondition, "ticked_already"),
        GateRefusal::NeedsNone { .. }
        | GateRefusal::NotPlanned { .. }
        | GateRefusal::NothingToApply { .. }
        | GateRefusal::NoWindow { .. }
        | GateRefusal::HookNotBegun { .. }
        | GateRefusal::HookPast { .. }
        | GateRefusal::Begun { .. } => (Code::FailedPrecondition, "illegal_now"),
    }
}

fn store_code(error: &StoreError) -> (Code, &'static str) {
    match error {
        StoreError::Nonsense { .. } => (Code::Internal, "store_spoilt"),
        StoreError::Open { .. } | StoreError::Failed { .. } => (Code::Unavailable, "store_failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_finds_the_name_a_person_the_message() {
        let status = Status::from(RpcError::NoEnvironment("staging".parse().unwrap()));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.metadata().get(CODE).unwrap(), "no_environment");
        assert_eq!(
            status.message(),
            "there is no environment staging; `stopover environment create staging` makes it"
        );
    }

    #[test]
    fn a_failing_store_is_worth_another_try_and_keeps_its_details() {
        let source = sqlx::Error::Protocol("password of db.internal".to_owned());
        let error = StoreError::Failed { attempt: "list the agents".to_owned(), source };
        let status = Status::from(RpcError::from(ConductError::from(error)));
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(
            status.message(),
            "could not list the agents: the store failed; the server's log says why"
        );
    }
}
