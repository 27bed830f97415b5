//! How old what was found in a stage's databases may be when its migrations begin, and looking again where it is older.

use std::time::Duration;

use jiff::Timestamp;

use super::Next;
use crate::deployment::{Stage, StepState, Target};
use crate::event::{Event, StageIndex};

/// What was found longer ago than this when the gates open is looked at again.
pub(super) const FRESH: Duration = Duration::from_mins(10);
/// What looking at a database and backing it up takes where that is not known.
const UNMEASURED: Duration = Duration::from_mins(5);
/// What is left over before the window opens.
const MARGIN: Duration = Duration::from_mins(1);

/// Looks at the stage's databases again where what was found is too old to go by.
pub(super) fn look_again(next: &mut Next<'_>, index: StageIndex, stage: &Stage) -> bool {
    let age = stage.prepared_at().and_then(|at| Duration::try_from(next.now.duration_since(at)).ok());
    let Some(age) = age.filter(|age| *age > fresh_for(stage)) else { return false };
    let why = format!("what was found there is {} old", crate::duration::human(age));
    next.append(Event::StageRefreshed { stage: index, why });
    true
}

/// For how long what was found and backed up is good enough to begin with.
fn fresh_for(stage: &Stage) -> Duration {
    if stage.spec.calendar.is_empty() { FRESH } else { FRESH.max(lead(stage).saturating_mul(2)) }
}

/// What looking at the stage's databases and backing them up takes, as far as it was seen.
pub(super) fn lead(stage: &Stage) -> Duration {
    let of_target = |target: &Target| {
        let took = |state: &StepState| match state {
            StepState::Succeeded { since, at, .. } => Duration::try_from(at.duration_since(*since)).ok(),
            _ => None,
        };
        let inspect = took(&target.inspect.state).unwrap_or_default();
        took(&target.backup.state).map_or(UNMEASURED, |backup| inspect + backup)
    };
    let one_by_one = stage.targets.iter().filter(|t| t.left_out.is_none()).map(of_target).sum::<Duration>();
    one_by_one / stage.spec.fleet.max_parallel.max(1) + MARGIN
}

pub(super) fn age(next: &Next<'_>, stage: &Stage) -> Duration {
    let at = stage.prepared_at().unwrap_or(Timestamp::MIN);
    Duration::try_from(next.now.duration_since(at)).unwrap_or_default()
}
