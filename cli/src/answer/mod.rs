//! The server's answers that have no twin in the model, checked once as they come in.

mod backup;
mod drift;
mod follow_up;
mod history;
mod lint;
mod list;
mod notification;
mod plan;
mod rollback;
mod saved;
mod token;

pub use backup::DatabaseBackups;
pub use drift::DatabaseDrift;
pub use follow_up::{FollowUpAnswer, FollowUpWord};
pub use history::{DatabaseAdoption, DatabaseHistories, HistoryName};
pub use lint::{FindingAnswer, LintAnswer};
pub use list::{AgentRow, DatabaseRow, DeploymentRow, EnvironmentRow};
pub use notification::{NotificationRow, Trial};
pub use plan::{PlanAnswer, PlanResult, StagePlan, TargetAnswer};
pub use rollback::{DatabaseRollback, RollbackAnswer};
pub use saved::{DatabaseSaved, FoundSaved};
pub use token::TokenRow;
pub(crate) use token::{grant, roles};
