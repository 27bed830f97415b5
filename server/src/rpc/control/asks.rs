//! What each request is about, and whether the caller's role suffices there.

use std::fmt;

use prost::Message;
use stopover_model::deployment::Deployment;
use stopover_model::event::StageIndex;
use stopover_model::id::{EnvironmentName, HookName};
use stopover_model::pipeline::Pipeline;
use stopover_proto::v1;
use tonic::Request;

use super::Api;
use crate::conductor::{next_stage, stage_of_hook, stage_with};
use crate::rpc::auth::Operator;
use crate::rpc::lacking::Where;
use crate::rpc::methods::Place;
use crate::rpc::status::RpcError;
use crate::rpc::trail::Trail;

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    /// Nothing of one environment, or what only its verb knows.
    Nothing,
    /// The field, and what stands there.
    Environment(&'static str, &'a str),
    Deployment(&'a str),
    Pipeline(&'a str),
    Person(&'a str),
}

/// As the audit log has it; not more of a text than a name is long.
impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Environment(_, name) => write!(f, "environment {name:.63}"),
            Self::Deployment(id) => write!(f, "deployment {id:.63}"),
            Self::Pipeline("") => f.write_str("the pipeline"),
            Self::Pipeline(name) => write!(f, "pipeline {name:.63}"),
            Self::Person(name) => write!(f, "person {name:.63}"),
        }
    }
}

pub(super) trait Asks {
    fn subject(&self) -> Subject<'_>;
}

macro_rules! asks {
    ($($kind:ident { $($request:ident)* })*) => {
        $($(impl Asks for v1::$request {
            fn subject(&self) -> Subject<'_> {
                asks!(@$kind self)
            }
        })*)*
    };
    (@nothing $request:ident) => {{ let _ = $request; Subject::Nothing }};
    (@environment $request:ident) => { Subject::Environment("environment", &$request.environment) };
    (@name $request:ident) => { Subject::Environment("name", &$request.name) };
    (@deployment $request:ident) => { Subject::Deployment(&$request.deployment) };
    (@person $request:ident) => { Subject::Person(&$request.name) };
    (@pipeline $request:ident) => { Subject::Pipeline(&$request.pipeline) };
}

asks! {
    nothing {
        ListDeploymentsRequest ListTokensRequest ListEnvironmentsRequest ListAgentsRequest GetPipelineRequest
        ListNotificationsRequest CreateTokenRequest RevokeTokenRequest ApplyPipelineRequest ListAuditRequest WhoAmIRequest
        ListPeopleRequest
    }
    person { ForgetPersonRequest }
    pipeline { PlanRequest DeployRequest TestNotificationsRequest }
    name { CreateEnvironmentRequest }
    environment {
        RehearseEnvironmentRequest ReadHistoriesRequest RecordAppliedRequest ReadEnvironmentDriftRequest
        AcceptEnvironmentDriftRequest ListEnvironmentBackupsRequest VerifyStoredBackupRequest
        RestoreStoredBackupRequest ListSavedRequest RestoreEnvironmentSavedRequest PurgeEnvironmentSavedRequest
        CreateJoinTokenRequest ApproveRestoreRequest
    }
    deployment {
        WatchRequest GetDeploymentRequest GlanceRequest CancelDeploymentRequest PlanDeploymentRollbackRequest
        RollbackDeploymentRequest PauseDeploymentRequest ResumeDeploymentRequest OverrideWindowRequest
        ThrottleDeploymentRequest ResolveDeploymentRequest ApproveDeploymentRequest RejectDeploymentRequest
        TickItemRequest AnswerHookRequest ListFollowUpsRequest AcknowledgeFollowUpRequest
    }
}

/// Which stage is meant where none is named.
pub(super) enum Meant<'a> {
    Next,
    WithItem(&'a str),
    WithHook(&'a HookName),
    WithEffects,
}

impl Api {
    /// Who asks, and what; refused where their role does not suffice. Of a stage, and of what a request brings along, the
    /// verb finds out where that is, and asks [`Api::may`].
    /// What changes something is written into the audit log before.
    pub(super) async fn admit<T: Asks + Message>(
        &self,
        request: Request<T>,
    ) -> Result<(Operator, T), RpcError> {
        let by = Operator::of(&request)?;
        let trail = request.extensions().get::<Trail>().cloned().ok_or(RpcError::NoToken)?;
        let request = request.into_inner();
        if let Some(place) = self.place(&by, &request).await? {
            self.may(&by, &place).await?;
        }
        if by.method.changes {
            trail.asked(request.subject().to_string(), &request.encode_to_vec()).await?;
        }
        Ok((by, request))
    }

    /// None: somewhere, or where the verb finds out.
    async fn place<T: Asks>(&self, by: &Operator, request: &T) -> Result<Option<Where>, RpcError> {
        Ok(Some(match (by.method.place, request.subject()) {
            (Place::Anywhere | Place::Stage | Place::Given, _)
            | (Place::Named, Subject::Environment(_, "")) => {
                return Ok(None);
            }
            // A method that is about something, and a request that is not, is a mistake of ours: it needs the role everywhere too.
            (Place::Everywhere, _) | (_, Subject::Nothing | Subject::Person(_)) => Where::Each(Vec::new()),
            (_, Subject::Environment(field, name)) => {
                let environment: EnvironmentName = name.parse().map_err(RpcError::id(field))?;
                Where::each([&environment])
            }
            (_, Subject::Pipeline(name)) => {
                Where::each(&self.pipeline_named(name).await?.pipeline.environments())
            }
            (place, Subject::Deployment(id)) => {
                let id = self.deployment_named(id).await?;
                let environments = self.pipeline_of(&id).await?.environments();
                if place == Place::Stages { Where::OneOf(environments) } else { Where::each(&environments) }
            }
        }))
    }

    pub(super) async fn may(&self, by: &Operator, place: &Where) -> Result<(), RpcError> {
        by.may(&self.services.store, self.services.clock, place).await
    }

    /// The stage that is named, or meant; refused where the caller's role does not suffice in its environment.
    pub(super) async fn stage_for(
        &self,
        by: &Operator,
        deployment: &Deployment,
        named: Option<&EnvironmentName>,
        meant: Meant<'_>,
    ) -> Result<Option<StageIndex>, RpcError> {
        let stage = match (named, meant) {
            (Some(named), _) => Some(stage_in(&deployment.pipeline, deployment.id.as_str(), named)?),
            (None, Meant::Next) => Some(next_stage(deployment)),
            (None, Meant::WithItem(item)) => Some(stage_with(deployment, item)),
            (None, Meant::WithHook(name)) => Some(stage_of_hook(deployment, name)),
            (None, Meant::WithEffects) => deployment.last_stage_with_effects(),
        };
        let found = stage.and_then(|stage| deployment.stage(stage));
        match found {
            Some(stage) => self.may(by, &Where::each([&stage.spec.environment])).await?,
            None => self.may(by, &Where::each(&deployment.pipeline.environments())).await?,
        }
        Ok(stage)
    }
}

pub(super) fn stage_in(
    pipeline: &Pipeline,
    deployment: &str,
    environment: &EnvironmentName,
) -> Result<StageIndex, RpcError> {
    let stages = (0..).map(StageIndex).zip(&pipeline.stages);
    stages.into_iter().find(|(_, spec)| spec.environment == *environment).map(|(index, _)| index).ok_or_else(
        || {
            let stages: Vec<_> = pipeline.stages.iter().map(|spec| spec.environment.as_str()).collect();
            RpcError::NoStage {
                deployment: deployment.to_owned(),
                given: environment.to_string(),
                stages: stages.join(", "),
            }
        },
    )
}
