//! What the linter says of a deployment: of all its scripts, before it is created, or of those that would run, for a plan.
//!
//! It looks at text alone and takes its time over it, so that it does so beside the tasks that carry deployments on.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stopover_lint::{StagesReport, lint_stages};
use stopover_model::digest::{Digest, Digester};
use stopover_model::id::MigrationId;
use stopover_model::lint::{LintFinding, ScriptRole};
use stopover_model::migration::Migration;
use stopover_model::pipeline::Pipeline;

use super::{ConductError, Conductor};

/// What looking whether a stage would run what it refuses may take, before a deployment is created without knowing. The
/// stage's own plan is made in any case.
const LONGEST: Duration = Duration::from_secs(15);

/// Which scripts are looked at; the others tell of what is there.
pub(super) enum Chosen {
    All,
    Only(BTreeSet<(MigrationId, ScriptRole)>),
}

pub(super) async fn look(
    pipeline: &Pipeline,
    migrations: &Arc<[Migration]>,
    chosen: Chosen,
) -> Result<StagesReport, ConductError> {
    let (pipeline, migrations) = (pipeline.clone(), Arc::clone(migrations));
    let looking = tokio::task::spawn_blocking(move || {
        lint_stages(&pipeline, &migrations, |id, role| match &chosen {
            Chosen::All => true,
            Chosen::Only(only) => only.contains(&(id.clone(), role)),
        })
    });
    Ok(looking.await.map_err(|_| ConductError::Stopping)??)
}

/// What was found lately, by the digest of what was looked at: most deployments carry what an earlier one has carried.
#[derive(Default)]
pub(super) struct Lately(Mutex<VecDeque<(Digest, Vec<LintFinding>)>>);

/// So many are remembered.
const REMEMBERED: usize = 8;

impl Lately {
    fn get(&self, digest: &Digest) -> Option<Vec<LintFinding>> {
        let lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lately.iter().find(|(of, _)| of == digest).map(|(_, findings)| findings.clone())
    }

    fn put(&self, digest: Digest, findings: Vec<LintFinding>) {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lately.len() == REMEMBERED {
            lately.pop_front();
        }
        lately.push_back((digest, findings));
    }
}

/// A finding names its place, which is no part of what a deployment does.
fn with_places(deployment: Digest, migrations: &[Migration]) -> Digest {
    let mut digester = Digester::new("stopover lint v1");
    digester.part("deployment", deployment.as_bytes());
    for Migration { id, manifest, .. } in migrations {
        digester.part(id.as_str(), &serde_json::to_vec(&manifest.source).unwrap_or_default());
    }
    digester.finish()
}

impl Conductor {
    /// What a new deployment keeps of the linter's findings. An error where a stage refuses what would run in it now: to
    /// hear that only when the stages before it are done would help nobody.
    pub(super) async fn lint_new(
        &self,
        pipeline: &Pipeline,
        migrations: &Arc<[Migration]>,
        digest: Digest,
    ) -> Result<Vec<LintFinding>, ConductError> {
        let digest = with_places(digest, migrations);
        let findings = if let Some(findings) = self.shared.linted.get(&digest) {
            findings
        } else {
            let report = look(pipeline, migrations, Chosen::All).await?;
            let found = report.findings.into_iter();
            let findings: Vec<_> = found.map(|found| found.known.to_keep()).collect();
            self.shared.linted.put(digest, findings.clone());
            findings
        };
        let refusing: BTreeSet<_> = findings.iter().flat_map(|f| &f.refuse).collect();
        if refusing.is_empty() {
            return Ok(findings);
        }
        let looked = self.stages(pipeline, migrations, LONGEST, |stage| refusing.contains(stage)).await?;
        for stage in looked {
            for plan in stage.targets.iter().filter_map(|target| target.plan.as_ref().ok()) {
                if let Some(error) = plan.lint_refusal(&stage.environment, &findings) {
                    return Err(ConductError::Linted(Box::new(error)));
                }
            }
        }
        Ok(findings)
    }
}
