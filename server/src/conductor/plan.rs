//! A plan without a deployment: each stage's databases are looked at now, and nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use stopover_lint::{StagesFinding, StagesReport};
use stopover_model::deployment::Deployment;
use stopover_model::digest::Digest;
use stopover_model::event::{StageIndex, StepKey, StepKind};
use stopover_model::gate::window;
use stopover_model::id::{Attempt, DatabaseName, DeploymentId, EnvironmentName, Epoch, MigrationId};
use stopover_model::impact::SampleWish;
use stopover_model::lint::{LintFinding, ScriptRole};
use stopover_model::migration::Migration;
use stopover_model::pipeline::{OutOfOrder, Pipeline, StageSpec};
use stopover_model::plan::{Known, MigrationSummary, TargetPlan};
use stopover_model::report::{ErrorClass, Inspection, Outcome, StepError, StepReport};
use stopover_proto::convert::AgentCommand;
use stopover_proto::v1;
use tonic::Status;

use super::create::check_migrations;
use super::lint::{self, Chosen};
use super::{ConductError, Conductor};
use crate::registry::AgentLink;

/// So many of its databases are looked at together, at least.
const MOST_LOOKS: usize = 16;
/// What a stage's inspection may take.
const LONGEST: Duration = Duration::from_mins(1);

/// What would happen where, and what the linter says of it.
#[derive(Debug)]
pub struct Plan {
    pub stages: Vec<StagePlan>,
    /// Of the scripts that would run, or may, with the stages where they would.
    pub lint: StagesReport,
}

/// What is planned for one stage.
#[derive(Debug)]
pub struct StagePlan {
    pub environment: EnvironmentName,
    /// Why nothing is known of its databases.
    pub unavailable: Option<String>,
    pub targets: Vec<TargetResult>,
}

/// What was found in a database, and what would happen there or why nothing may.
#[derive(Debug)]
pub struct TargetResult {
    pub database: DatabaseName,
    pub inspection: Option<Inspection>,
    pub plan: Result<TargetPlan, StepError>,
    /// Why the stage refuses the scripts of that plan, for what the linter found in them.
    pub lint_refusal: Option<StepError>,
}

impl StagePlan {
    /// The scripts that would run in one of its databases; None: any may, as far as anybody knows.
    fn scripts(&self) -> Option<BTreeSet<(&MigrationId, ScriptRole)>> {
        let plans = self.targets.iter().map(|target| target.plan.as_ref().ok());
        let plans: Vec<_> = plans.collect::<Option<_>>().filter(|_| self.unavailable.is_none())?;
        Some(plans.into_iter().flat_map(TargetPlan::scripts).collect())
    }
}

impl Conductor {
    /// Plans every stage of a pipeline from what is live in its databases.
    pub async fn plan(
        &self,
        pipeline: &Pipeline,
        migrations: &Arc<[Migration]>,
    ) -> Result<Plan, ConductError> {
        check_migrations(migrations)?;
        let mut stages = self.stages(pipeline, migrations, LONGEST, |_| true).await?;
        let scripts: Vec<_> = stages.iter().map(|stage| (&stage.environment, stage.scripts())).collect();
        let chosen = what_may_run(scripts.iter().map(|(_, scripts)| scripts.as_ref()));
        let mut lint = lint::look(pipeline, migrations, chosen).await?;
        for StagesFinding { known, .. } in &mut lint.findings {
            let LintFinding { migration, script, warn, refuse, .. } = known;
            let here = (&*migration, *script);
            let may_run = |name: &EnvironmentName| {
                let mut of_stage = scripts.iter().filter(|(stage, _)| *stage == name);
                of_stage.any(|(_, scripts)| scripts.as_ref().is_none_or(|scripts| scripts.contains(&here)))
            };
            warn.retain(may_run);
            refuse.retain(may_run);
        }
        lint.findings.retain(|found| !found.known.warn.is_empty() || !found.known.refuse.is_empty());
        let known: Vec<_> = lint.findings.iter().map(|found| found.known.clone()).collect();
        for stage in &mut stages {
            for target in &mut stage.targets {
                let plan = target.plan.as_ref().ok();
                target.lint_refusal = plan.and_then(|plan| plan.lint_refusal(&stage.environment, &known));
            }
        }
        Ok(Plan { stages, lint })
    }

    /// Looks at the databases of the stages that are wanted.
    pub(super) async fn stages(
        &self,
        pipeline: &Pipeline,
        migrations: &[Migration],
        longest: Duration,
        wanted: impl Fn(&EnvironmentName) -> bool,
    ) -> Result<Vec<StagePlan>, ConductError> {
        let summaries: Vec<_> = migrations.iter().map(MigrationSummary::of).collect();
        let look = Look {
            id: DeploymentId::from_random(rand::random()),
            digest: Deployment::digest_of(pipeline, &summaries),
            summaries,
            out_of_order: pipeline.out_of_order,
            longest,
            bundles: migrations.iter().map(v1::MigrationBundle::from).collect(),
        };
        let served = self.shared.store.environment_databases().await?;
        let existing = self.shared.store.environments().await?;
        let mut labels = BTreeMap::new();
        for spec in pipeline.stages.iter().filter(|spec| spec.fleet.select.is_some()) {
            let found = self.shared.store.database_labels(&spec.environment).await?;
            labels.insert(&spec.environment, found);
        }
        let stages = (0..).map(StageIndex).zip(&pipeline.stages);
        let stages = stages.filter(|(_, spec)| wanted(&spec.environment)).map(|(index, spec)| {
            let (look, served, existing, labels) = (&look, &served, &existing, &labels);
            async move {
                let environment = spec.environment.clone();
                if !existing.contains(&environment) {
                    let why = format!(
                        "the environment does not exist yet: stopover environment create {environment}"
                    );
                    return StagePlan { environment, unavailable: Some(why), targets: Vec::new() };
                }
                let databases: Vec<DatabaseName> = match served.get(&environment) {
                    _ if !spec.databases.is_empty() => spec.databases.clone(),
                    Some(databases) => databases.keys().cloned().collect(),
                    None => Vec::new(),
                };
                if databases.is_empty() {
                    let why = format!("no agent has joined it yet: stopover agent token {environment}");
                    return StagePlan { environment, unavailable: Some(why), targets: Vec::new() };
                }
                let selected = |database: &DatabaseName| {
                    let found = labels.get(&environment).and_then(|all| all.get(database));
                    spec.fleet
                        .select
                        .as_ref()
                        .is_none_or(|select| found.is_some_and(|found| select.fits(found)))
                };
                let databases: Vec<_> = databases.into_iter().filter(selected).collect();
                if let Some(select) = spec.fleet.select.as_ref().filter(|_| databases.is_empty()) {
                    let why = format!("none of its databases has the labels {select}");
                    return StagePlan { environment, unavailable: Some(why), targets: Vec::new() };
                }
                let looks = databases.into_iter().map(|database| self.look(look, index, spec, database));
                let at_once = MOST_LOOKS.max(spec.fleet.max_parallel as usize);
                let targets = stream::iter(looks).buffered(at_once).collect().await;
                StagePlan { environment, unavailable: None, targets }
            }
        });
        Ok(join_all(stages).await)
    }

    async fn look(
        &self,
        look: &Look,
        stage: StageIndex,
        spec: &StageSpec,
        database: DatabaseName,
    ) -> TargetResult {
        let digests: Vec<_> = look.summaries.iter().map(|m| m.digest).collect();
        // A plan without estimates is better than none.
        let history = self.shared.store.measurements(&spec.environment, &digests).await.unwrap_or_default();
        let known = Known {
            environment: spec.environment.as_str(),
            history: &history,
            stage: spec.backfill.throttle.clone(),
            ..Known::default()
        };
        let found = match self.shared.registry.agent_of(&spec.environment, &database) {
            Some(link) => {
                let wish = look.sample_wish(&known, spec);
                let inspect = look.inspect(&link, stage, spec, &database, wish, (self.shared.clock)());
                tokio::time::timeout(look.longest, inspect).await.unwrap_or_else(|_| Err(too_slow(&database)))
            }
            None => Err(nobody_serves(&database)),
        };
        match found {
            Ok(inspection) => {
                let now = (self.shared.clock)();
                let (summaries, out_of_order) = (&look.summaries, look.out_of_order);
                // A deployment looks again, and knows then.
                let quarantined = self.shared.store.quarantined(&spec.environment).await.unwrap_or_default();
                let plan =
                    TargetPlan::make(&database, summaries, &inspection, &known, out_of_order, &spec.drift)
                        .and_then(|plan| plan.unless_quarantined(&spec.environment, summaries, &quarantined))
                        .and_then(|plan| plan.backed_up(&inspection, spec))
                        .and_then(|plan| plan.on_its_disks(&inspection, spec))
                        .and_then(|plan| window::check_plan(plan, summaries, spec, now));
                TargetResult { database, inspection: Some(inspection), plan, lint_refusal: None }
            }
            Err(error) => TargetResult { database, inspection: None, plan: Err(error), lint_refusal: None },
        }
    }
}

/// What all inspections of one plan share.
struct Look {
    /// Of no deployment: an inspection under it is nobody else's.
    id: DeploymentId,
    digest: Digest,
    summaries: Vec<MigrationSummary>,
    out_of_order: OutOfOrder,
    /// What one inspection may take.
    longest: Duration,
    bundles: Vec<v1::MigrationBundle>,
}

impl Look {
    /// A look that is in a hurry tries nothing.
    fn sample_wish(&self, known: &Known<'_>, spec: &StageSpec) -> Option<SampleWish> {
        if spec.no_sample || self.longest < LONGEST {
            return None;
        }
        let migrations: Vec<_> = self.summaries.iter().map(|m| (m.id.clone(), m.digest)).collect();
        known.sample_wish(&migrations)
    }

    async fn inspect(
        &self,
        link: &AgentLink,
        stage: StageIndex,
        spec: &StageSpec,
        database: &DatabaseName,
        wish: Option<SampleWish>,
        now: Timestamp,
    ) -> Result<Inspection, StepError> {
        let command = AgentCommand {
            environment: spec.environment.clone(),
            deployment: self.id.clone(),
            step: StepKey::target(stage, database, StepKind::Inspect),
            attempt: Attempt(1),
            // Looking is not fenced.
            epoch: Epoch(1),
            plan_digest: self.digest,
            not_after: now.checked_add(LONGEST).unwrap_or(Timestamp::MAX),
            resume: None,
        };
        let request = v1::InspectRequest {
            command: Some(command.into()),
            migrations: self.bundles.clone(),
            sample: wish.map(Into::into),
        };
        let outcome = outcome_of(link, request).await.map_err(|status| {
            let message = format!("the agent {} could not be asked: {}", link.agent, status.message());
            StepError::new(ErrorClass::Transient, message)
        })?;
        match outcome {
            Outcome::Succeeded { report: StepReport::Inspected(inspection) } => Ok(inspection),
            Outcome::Succeeded { .. } => {
                Err(StepError::new(ErrorClass::Internal, "the agent answered with another step's report"))
            }
            Outcome::Failed { error, .. } | Outcome::Unknown { error } => Err(error),
            Outcome::NotBegun { why } => Err(StepError::new(ErrorClass::Internal, why)),
        }
    }
}

/// What would run, or may, in one of the stages.
fn what_may_run<'a>(
    mut stages: impl Iterator<Item = Option<&'a BTreeSet<(&'a MigrationId, ScriptRole)>>>,
) -> Chosen {
    let only = stages.try_fold(BTreeSet::new(), |mut all, scripts| {
        all.extend(scripts?.iter().map(|(id, role)| ((*id).clone(), *role)));
        Some(all)
    });
    only.map_or(Chosen::All, Chosen::Only)
}

fn too_slow(database: &DatabaseName) -> StepError {
    let message = format!("the inspection of {database} did not end within a minute");
    let hint = "a step of a deployment may be running there (`stopover list`), and one runs at a time";
    StepError::new(ErrorClass::Transient, message).with_hint(hint)
}

pub(super) fn nobody_serves(database: &DatabaseName) -> StepError {
    let message = format!("no agent that serves {database} is connected");
    let hint = "see `stopover agent list`; start the agent, or correct `databases` in the pipeline";
    StepError::new(ErrorClass::Transient, message).with_hint(hint)
}

async fn outcome_of(link: &AgentLink, request: v1::InspectRequest) -> Result<Outcome, Status> {
    let mut updates = link.client().inspect(request).await?.into_inner();
    while let Some(update) = updates.next().await {
        if let Some(v1::step_update::Kind::Outcome(outcome)) = update?.kind {
            return Outcome::try_from(outcome).map_err(|e| Status::internal(e.to_string()));
        }
    }
    Err(Status::unavailable("its answer ended without an outcome"))
}
