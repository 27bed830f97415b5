//! What becomes of the rows and values that a statement drops.

use stopover_model::sql::{DropTarget, Emptying};

use super::effect::Effect;
use crate::reading::{Read, Reading};

pub(super) fn note(effect: &mut Effect, reading: &Reading<'_>, statement: &Read<'_>) {
    let drops = statement.at.drops();
    let saves = reading.source.saves && !reading.source.script.saves_nothing(&statement.at);
    for drop in drops.iter().filter(|drop| drop.may_lose_data()) {
        match &drop.target {
            DropTarget::Hidden { command } => {
                effect.unseen(format!(
                    "what the {command} in it drops is not saved: nobody can know before it runs"
                ));
            }
            DropTarget::Emptied { by: Emptying::Delete, .. } | DropTarget::Converted { .. } => {}
            DropTarget::Attribute { .. } => {
                effect.note("what the attribute holds in stored values is not saved");
            }
            _ if !saves => effect.note("what it drops is not saved"),
            DropTarget::Emptied { .. } => {
                effect.note("the rows of tables up to 64 MiB are saved first, in the schema stopover_saved");
            }
            _ => effect.note("what it drops is saved first, in the schema stopover_saved"),
        }
    }
}
