//! What becomes of the values that a way back drops: they are saved, or nothing keeps them.

use std::time::Duration;

use stopover_model::migration::{Migration, Script};
use stopover_model::pipeline::SaveSettings;
use stopover_model::rollback::Fate;
use stopover_model::sql::{Drop, DropTarget, Emptying, Statement};

use crate::saved::SMALL;

/// What is to be done with that which a statement drops.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keeping {
    Saved { keep_for: Option<Duration> },
    Not { why: &'static str },
}

impl Keeping {
    pub(super) fn of(
        saving: &SaveSettings,
        migration: &Migration,
        script: &Script,
        statement: &Statement<'_>,
    ) -> Self {
        let why = if !saving.save {
            "the stage says save = false"
        } else if migration.manifest.no_save {
            "the migration says save = false"
        } else if script.saves_nothing(statement) {
            "the script says save=off"
        } else {
            return Self::Saved { keep_for: saving.keep_for };
        };
        Self::Not { why }
    }
}

/// Of what holds something; `largest` is the size of the largest of its tables.
pub(super) fn of(drop: &Drop, keeping: Keeping, largest: u64) -> Fate {
    let lost = |why: String| Fate::Lost { why };
    match (&drop.target, keeping) {
        (DropTarget::Emptied { by: Emptying::Delete, .. }, _) => {
            lost("what a DELETE removes is not saved".to_owned())
        }
        (DropTarget::Converted { .. }, _) => lost("what the new type can't hold is not saved".to_owned()),
        (DropTarget::Attribute { .. }, _) => {
            lost("what an attribute holds in stored values is not saved".to_owned())
        }
        (DropTarget::Hidden { .. } | DropTarget::OwnedBy { .. }, _) => {
            lost("what it drops can't be seen before".to_owned())
        }
        (_, Keeping::Not { why }) => lost(why.to_owned()),
        (DropTarget::Emptied { .. }, _) if largest > SMALL => lost(format!(
            "it has {}, and of emptied tables up to {} are saved",
            bytesize::ByteSize(largest),
            bytesize::ByteSize(SMALL)
        )),
        (_, Keeping::Saved { keep_for }) => Fate::Saved { keep_for },
    }
}
