//! Whether a stage rehearses on the restored copy of its database, and what may run there.

use std::ops::Range;
use std::time::Duration;

use super::{
    ApprovalSettings, BackupLevel, BackupSettings, DriftPolicy, LintSettings, OnFailure, Pipeline, StageSpec,
};
use crate::config::ConfigError;
use crate::id::{DatabaseName, EnvironmentName};

/// The keys of a stage that say so.
pub(super) struct RawRehearse {
    /// As it is written, if it is.
    pub(super) written: Option<bool>,
    /// The stage needs approvals: those who are asked see a rehearsal, unless the stage says that there is none.
    pub(super) approved: bool,
    /// Where it is written.
    pub(super) allow_cluster_effects: Option<toml::Spanned<bool>>,
}

/// What of it a stage keeps.
pub(super) struct Rehearse {
    pub(super) rehearse: bool,
    pub(super) allow_cluster_effects: bool,
}

impl RawRehearse {
    /// `backup` is the stage's, and where it is written: a rehearsal runs on a restored copy, so that no level means that
    /// one, and another is refused.
    pub(super) fn read(
        &self,
        backup: (&mut BackupSettings, Option<Range<usize>>),
        file: &str,
        text: &str,
    ) -> Result<Rehearse, ConfigError> {
        let rehearse = self.written.unwrap_or(self.approved);
        let allowed = self.allow_cluster_effects.as_ref();
        if let Some(key) = allowed.filter(|key| *key.get_ref() && !rehearse) {
            let message = "`allow_cluster_effects` says what a rehearsal may run, and this stage has none; \
                           add rehearse = true, or remove it";
            return Err(ConfigError::at(file, text, Some(key.span()), message));
        }
        let (backup, written) = backup;
        if rehearse && backup.level < BackupLevel::Restored {
            if written.is_some() {
                let message = if self.written.is_some() {
                    "rehearse = true runs on a restored copy, so that the backup's level has to be \"restored\"; write \
                     that, or leave `backup` out"
                } else {
                    "a stage with approvals rehearses, which runs on a restored copy, so that the backup's level has to \
                     be \"restored\"; write that, or leave `backup` out, or add rehearse = false"
                };
                return Err(ConfigError::at(file, text, written, message));
            }
            backup.level = BackupLevel::Restored;
        }
        let allow_cluster_effects = allowed.is_some_and(|key| *key.get_ref());
        Ok(Rehearse { rehearse, allow_cluster_effects })
    }
}

impl Pipeline {
    /// The stage in that environment, of which there is one at most.
    #[must_use]
    pub fn stage_in(&self, environment: &EnvironmentName) -> Option<&StageSpec> {
        self.stages.iter().find(|stage| stage.environment == *environment)
    }

    /// Of its stages, in order.
    #[must_use]
    pub fn environments(&self) -> Vec<EnvironmentName> {
        self.stages.iter().map(|stage| stage.environment.clone()).collect()
    }

    /// The way of a rehearsal by itself: one stage, as the pipeline's own of that environment is as far as that matters
    /// there, or as the defaults are. What would keep a deployment from beginning is a warning in it, since it changes
    /// nothing.
    pub fn rehearsal(
        like: Option<Self>,
        environment: &EnvironmentName,
        databases: &[DatabaseName],
        allow_cluster_effects: bool,
    ) -> Result<Self, ConfigError> {
        let text = format!("name = \"rehearsal\"\n[[stage]]\nenvironment = \"{environment}\"\n");
        let mut pipeline = match like {
            Some(like) => like,
            None => Self::parse("the pipeline of a rehearsal", &text)?,
        };
        pipeline.lint = LintSettings::default();
        // Whoever asks for it looks at it.
        pipeline.notify.clear();
        pipeline.stages.retain(|stage| stage.environment == *environment);
        for stage in &mut pipeline.stages {
            if !databases.is_empty() {
                stage.databases = databases.to_vec();
            }
            stage.soak = Duration::ZERO;
            stage.backup =
                BackupSettings { level: BackupLevel::Restored, restore_point: false, ..stage.backup };
            stage.on_failure = OnFailure::Rollback;
            stage.approvals = ApprovalSettings::default();
            stage.checklist = Vec::new();
            stage.hooks = Vec::new();
            stage.rehearse = true;
            stage.allow_cluster_effects |= allow_cluster_effects;
            stage.lint = LintSettings::default();
            if stage.drift.policy == DriftPolicy::Refuse {
                stage.drift.policy = DriftPolicy::Warn;
            }
        }
        Ok(pipeline)
    }
}
