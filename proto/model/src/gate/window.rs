//! Windows: whether a migration may begin now, and until when its backfills may go on.
//!
//! It begins only while one is open, and only where its estimate fits into what is left. Of a migration with backfills that
//! pause at a window's end, what has to fit is the rest of its statements. What is rolled back never waits.

use std::time::Duration;

use jiff::Timestamp;

use super::{GateState, GateWait};
use crate::duration::human;
use crate::migration::ScriptSummary;
use crate::pipeline::StageSpec;
use crate::plan::{Action, Estimate, MigrationSummary, TargetPlan};
use crate::report::{ErrorClass, StepError};
use crate::window::{AtEnd, Calendar, Opening};

/// What an opening has to have room for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needed {
    whole: Duration,
    without_backfills: Duration,
}

/// For how long an agent may begin, and go on with backfills, from now on. None: there is no end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    pub begin_within: Option<Duration>,
    pub batches_within: Option<Duration>,
}

impl Needed {
    /// Of what nobody can estimate nothing is known; it begins while a window is open.
    #[must_use]
    pub fn by(migration: &MigrationSummary, action: &Action) -> Self {
        let Action::Apply { variant, estimate: Some(estimate), .. } = action else { return Self::default() };
        let script = migration.script(*variant);
        Self { whole: estimate.duration, without_backfills: without_backfills(estimate, script) }
    }

    /// Both one after the other.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        Self {
            whole: self.whole.saturating_add(next.whole),
            without_backfills: self.without_backfills.saturating_add(next.without_backfills),
        }
    }

    fn in_opening(self, opening: &Opening) -> Duration {
        match opening.at_end {
            AtEnd::Pause => self.without_backfills,
            AtEnd::GoOn => self.whole,
        }
    }

    fn fits(self, opening: &Opening) -> bool {
        opening.has_room(self.in_opening(opening))
    }
}

fn without_backfills(estimate: &Estimate, script: &ScriptSummary) -> Duration {
    let is_backfill =
        |index: u32| script.statements.get(index as usize).is_some_and(|s| s.backfill.is_some());
    if !script.statements.iter().any(|statement| statement.backfill.is_some()) {
        return estimate.duration;
    }
    // Where only the whole was measured the backfills are taken for all of it.
    estimate.statements.iter().filter(|s| !is_backfill(s.index)).map(|s| s.duration).sum()
}

/// What the next migration of a stage waits for; nothing where it may begin.
#[must_use]
pub fn closed(spec: &StageSpec, gates: &GateState, needed: Needed, now: Timestamp) -> Vec<GateWait> {
    let calendar = &spec.calendar;
    if calendar.is_empty() || gates.overridden.is_some() {
        return Vec::new();
    }
    let next_after = |from| calendar.openings(from).take(MOST_OPENINGS).find(|opening| needed.fits(opening));
    match calendar.open_at(now) {
        Some(opening) if needed.fits(&opening) => Vec::new(),
        Some(opening) => {
            let (needs, closes) = (needed.in_opening(&opening), opening.until.unwrap_or(now));
            let opens = next_after(closes).map(|opening| opening.from);
            vec![GateWait::WindowTooShort { needs, closes, opens }]
        }
        None => {
            let opens = next_after(now).or_else(|| calendar.next(now)).map(|opening| opening.from);
            let frozen = calendar.frozen_at(now).map(|until| GateWait::Freeze { until });
            let window = GateWait::Window { opens };
            // Without windows it opens with the freeze's end.
            let thaws = frozen.as_ref().is_some_and(|freeze| freeze.until() == opens);
            frozen.into_iter().chain((!thaws).then_some(window)).collect()
        }
    }
}

/// How many openings are looked at for one with room.
const MOST_OPENINGS: usize = 2_000;

/// Until when a migration may begin, and the batches of its backfills.
#[must_use]
pub fn bounds(spec: &StageSpec, gates: &GateState, needed: Needed, now: Timestamp) -> Bounds {
    let calendar = &spec.calendar;
    if calendar.is_empty() || gates.overridden.is_some() {
        return Bounds::default();
    }
    let begin_within = match calendar.open_at(now) {
        Some(opening) => opening.left_at(now).map(|left| left.saturating_sub(needed.in_opening(&opening))),
        None => Some(Duration::ZERO),
    };
    let until = batches_until(calendar, now);
    let left = |until: Timestamp| Duration::try_from(now.duration_until(until)).unwrap_or_default();
    Bounds { begin_within, batches_within: until.map(left) }
}

/// When the backfills that run now have to pause; a time that is over where they have to already, and None where there is
/// no such time.
#[must_use]
pub fn backfills_until(spec: &StageSpec, gates: &GateState, now: Timestamp) -> Option<Timestamp> {
    if spec.calendar.is_empty() || gates.overridden.is_some() {
        return None;
    }
    batches_until(&spec.calendar, now)
}

fn batches_until(calendar: &Calendar, now: Timestamp) -> Option<Timestamp> {
    if calendar.frozen_at(now).is_some() {
        return Some(Timestamp::MIN);
    }
    let opening = calendar.open_at(now);
    let goes_on = match opening {
        Some(Opening { at_end: AtEnd::Pause, until, .. }) => return until,
        Some(Opening { at_end: AtEnd::GoOn, .. }) => true,
        None => calendar.windows.iter().all(|window| window.at_end == AtEnd::GoOn),
    };
    let freeze = calendar.freezes.iter().map(|freeze| freeze.from).filter(|from| *from > now).min();
    if goes_on { freeze } else { Some(Timestamp::MIN) }
}

/// Refuses a plan with a migration that fits into no opening.
pub fn check_plan(
    plan: TargetPlan,
    migrations: &[MigrationSummary],
    spec: &StageSpec,
    now: Timestamp,
) -> Result<TargetPlan, StepError> {
    if spec.calendar.is_empty() {
        return Ok(plan);
    }
    for planned in &plan.migrations {
        let Some(migration) = migrations.iter().find(|m| m.id == planned.id) else { continue };
        let needed = Needed::by(migration, &planned.action);
        let mut openings = spec.calendar.openings(now).take(MOST_OPENINGS).peekable();
        if openings.peek().is_none() || openings.any(|opening| needed.fits(&opening)) {
            continue;
        }
        let longest = spec.calendar.longest(now).unwrap_or_default();
        let message = format!(
            "{} should take {} in {}, and no window of {} is open for longer than {}",
            migration.id,
            human(needed.without_backfills),
            plan.database,
            spec.environment,
            human(longest)
        );
        return Err(StepError::new(ErrorClass::Setup, message).with_hint(
            "lengthen the window's `for`; or turn the long UPDATE into a backfill (`-- stopover: backfill`), which pauses at a window's end and goes on in the next; or, as an administrator: stopover resume ID --override-window --reason WHY",
        ));
    }
    Ok(plan)
}
