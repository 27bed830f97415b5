//! Approvals of restores over a live database: where a stage needs approvals for a migration, a database is not replaced on
//! one person's word either.
//!
//! An approval is good for an hour and for one restore. It is kept in memory: a server that was started again asks anew.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use stopover_model::deployment::IllegalEvent;
use stopover_model::gate::GateRefusal;
use stopover_model::id::{BackupId, DatabaseName, EnvironmentName, GroupName, OperatorName};
use stopover_model::pipeline::{ApprovalSettings, Pipeline, StageSpec};

use super::{ConductError, Conductor, Shared};

const GOOD_FOR: SignedDuration = SignedDuration::from_hours(1);

/// The backup that is to take the place of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    pub environment: EnvironmentName,
    pub database: DatabaseName,
    pub backup: BackupId,
}

#[derive(Debug)]
struct Approval {
    of: Replacement,
    by: OperatorName,
    groups: Vec<GroupName>,
    at: Timestamp,
}

/// Those that were given, and not used.
#[derive(Debug, Default)]
pub(super) struct RestoreApprovals(Mutex<Vec<Approval>>);

impl Conductor {
    /// A person agrees that a database is replaced. Answers how many approvals it has, and how many it needs.
    pub async fn approve_restore(
        &self,
        of: Replacement,
        by: OperatorName,
        groups: Vec<GroupName>,
    ) -> Result<(u32, u32), ConductError> {
        let (shared, now) = (&self.shared, (self.shared.clock)());
        let needed = shared.approvals_over(&of).await?;
        let Some(most) = needed.iter().max_by_key(|settings| settings.needed) else {
            return Err(ConductError::NoRestoreApproval(of.environment));
        };
        if let Some(settings) = needed.iter().find(|settings| !settings.names(&by, &groups)) {
            let who = settings.who(&[]);
            let refusal = GateRefusal::NotAnApprover { by, environment: of.environment, who };
            return Err(IllegalEvent::Gate(refusal).into());
        }
        tracing::info!(environment = %of.environment, database = %of.database, backup = %of.backup, %by,
            "approved a restore over the live database");
        let mut given = shared.restores.good(now);
        given.retain(|approval| approval.of != of || approval.by != by);
        given.push(Approval { of: of.clone(), by, groups, at: now });
        let have = given.iter().filter(|approval| approval.of == of).count();
        Ok((u32::try_from(have).unwrap_or(u32::MAX), most.needed))
    }
}

impl Shared {
    /// Uses the approvals of a restore up, or says what is missing. Those of the one who restores do not count.
    pub(super) async fn use_restore_approvals(
        &self,
        of: &Replacement,
        by: &OperatorName,
    ) -> Result<(), ConductError> {
        let needed = self.approvals_over(of).await?;
        let mut given = self.restores.good((self.clock)());
        let counts = |approval: &&Approval| approval.of == *of && approval.by != *by;
        for settings in &needed {
            let fits = |approval: &&Approval| settings.names(&approval.by, &approval.groups);
            let fitting: Vec<_> = given.iter().filter(counts).filter(fits).collect();
            let have = u32::try_from(fitting.len()).unwrap_or(u32::MAX);
            if have < settings.needed {
                let mut without: Vec<_> = fitting.iter().map(|approval| &approval.by).collect();
                without.push(by);
                return Err(ConductError::RestoreUnapproved {
                    who: settings.who(&without),
                    environment: of.environment.clone(),
                    database: of.database.clone(),
                    backup: of.backup.clone(),
                    have,
                    need: settings.needed,
                });
            }
        }
        given.retain(|approval| approval.of != *of);
        Ok(())
    }

    /// What the stages over a database ask for, of all pipelines; those that ask for nothing are left out.
    async fn approvals_over(&self, of: &Replacement) -> Result<Vec<ApprovalSettings>, ConductError> {
        let mut all = Vec::new();
        for name in self.store.pipeline_names().await? {
            let Some(row) = self.store.pipeline(&name).await? else { continue };
            // One that can't be read might ask for approvals: nothing is replaced then.
            let pipeline = Pipeline::parse(&format!("pipeline {name}"), &row.toml);
            let pipeline = pipeline.map_err(|error| ConductError::StoredPipeline(Box::new(error)))?;
            all.extend(pipeline.stages.into_iter().filter(|stage| is_over(stage, of)).map(|s| s.approvals));
        }
        all.retain(|settings| settings.needed > 0);
        Ok(all)
    }
}

impl RestoreApprovals {
    /// Without those that are too old.
    fn good(&self, now: Timestamp) -> MutexGuard<'_, Vec<Approval>> {
        // Nothing can leave the list half changed.
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|approval| now.duration_since(approval.at) < GOOD_FOR);
        given
    }
}

fn is_over(stage: &StageSpec, of: &Replacement) -> bool {
    let database = stage.databases.is_empty() || stage.databases.contains(&of.database);
    stage.environment == of.environment && database
}
