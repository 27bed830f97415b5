//! Whether the stage's backup can be made at all: asked before anything waits for it.

use super::TargetPlan;
use crate::pipeline::{BackupLevel, StageSpec};
use crate::report::{ErrorClass, Inspection, StepError};

impl TargetPlan {
    /// The plan, or why its backup would fail.
    pub fn backed_up(self, inspection: &Inspection, stage: &StageSpec) -> Result<Self, StepError> {
        let restores = stage.backup.level == BackupLevel::Restored;
        let mut in_the_way =
            inspection.hindrances.iter().filter(|hindrance| restores || !hindrance.of_copies);
        match in_the_way.next().filter(|_| self.applies_anything()) {
            None => Ok(self),
            Some(first) => {
                let message = format!("the backup of {} would fail: {}", self.database, first.what);
                Err(StepError::new(ErrorClass::Setup, message).with_hint(&first.way_out))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::tests::{inspection, migration};
    use crate::pipeline::{OutOfOrder, Pipeline};
    use crate::plan::Known;
    use crate::report::BackupHindrance;

    fn plan(of_copies: bool, lines: &str) -> Result<TargetPlan, StepError> {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n{lines}\n");
        let stage = Pipeline::parse("pipeline.toml", &text).unwrap().stages.remove(0);
        let hindrance = BackupHindrance {
            what: "stopover may not create databases".into(),
            way_out: "ALTER ROLE stopover CREATEDB".into(),
            of_copies,
        };
        let inspection = Inspection { hindrances: vec![hindrance], ..inspection() };
        let (migrations, database) = ([migration("001_a", true, false)], "users".parse().unwrap());
        let known = Known::default();
        let made =
            TargetPlan::make(&database, &migrations, &inspection, &known, OutOfOrder::Refuse, &stage.drift);
        made?.backed_up(&inspection, &stage)
    }

    #[test]
    fn a_backup_that_would_fail_refuses_the_plan_with_the_way_out() {
        let error = plan(false, "").unwrap_err();
        assert_eq!(error.message, "the backup of users would fail: stopover may not create databases");
        assert_eq!(error.hint.as_deref(), Some("ALTER ROLE stopover CREATEDB"));
    }

    #[test]
    fn what_only_a_restored_backup_needs_stands_in_the_way_of_no_other() {
        assert!(plan(true, "backup = \"decoded\"").is_ok());
        assert!(plan(true, "backup = \"restored\"").is_err());
    }
}
