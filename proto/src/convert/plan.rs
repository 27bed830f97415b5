//! Plans: what will happen to a database.

use stopover_model::plan::{Action, Estimate, MigrationPlan, Spread, StatementEstimate, TargetPlan};

use super::error::{InField, InvalidWire};
use super::field::{duration, enumeration, messages, name, optional_message, optional_text, plain};
use crate::v1;

wire_message!(TargetPlan { database: name, migrations: messages, warnings: plain });
wire_message!(Estimate { duration: duration, basis: plain, spread: optional_message, statements: messages });
wire_message!(StatementEstimate { index: plain, duration: duration, spread: optional_message, basis: plain });
wire_message!(Spread { low: duration, high: duration });

impl From<MigrationPlan> for v1::MigrationPlan {
    fn from(plan: MigrationPlan) -> Self {
        let action = match plan.action {
            Action::Apply { variant, estimate, missing } => {
                let (variant, estimate) = (enumeration::write(variant), optional_message::write(estimate));
                let missing = optional_text::write(missing);
                v1::migration_plan::Action::Apply(v1::migration_plan::Apply { variant, estimate, missing })
            }
            Action::Skip => v1::migration_plan::Action::Skip(true),
        };
        Self { id: name::write(plan.id), action: Some(action), reason: plan.reason }
    }
}

impl TryFrom<v1::MigrationPlan> for MigrationPlan {
    type Error = InvalidWire;

    fn try_from(wire: v1::MigrationPlan) -> Result<Self, InvalidWire> {
        let action = match wire.action.ok_or_else(|| InvalidWire::missing("action"))? {
            v1::migration_plan::Action::Apply(apply) => read_apply(apply).in_field("apply")?,
            v1::migration_plan::Action::Skip(true) => Action::Skip,
            v1::migration_plan::Action::Skip(false) => {
                return Err(InvalidWire::new("skip", "is false; when set, it is true"));
            }
        };
        Ok(Self { id: name::read(wire.id, "id")?, action, reason: wire.reason })
    }
}

fn read_apply(wire: v1::migration_plan::Apply) -> Result<Action, InvalidWire> {
    Ok(Action::Apply {
        variant: enumeration::read(wire.variant, "variant")?,
        estimate: optional_message::read(wire.estimate, "estimate")?,
        missing: optional_text::read(wire.missing, "missing")?,
    })
}
