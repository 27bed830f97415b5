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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{Migration, Variant};
    use crate::pipeline::Pipeline;
    use crate::plan::{MigrationPlan, StatementEstimate};

    fn spec(keys: &str) -> StageSpec {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"production\"\n{keys}\n");
        Pipeline::parse("p.toml", &text).unwrap().stages.remove(0)
    }

    fn migration() -> MigrationSummary {
        let up = "ALTER TABLE users ADD COLUMN plan text;\n-- stopover: backfill\n\
            UPDATE users SET plan = 'free' WHERE plan IS NULL;\nCREATE INDEX CONCURRENTLY i ON users (plan);";
        let files = [("up.sql".to_owned(), up.as_bytes().to_vec())].into();
        MigrationSummary::of(&Migration::parse("001_a".parse().unwrap(), files).unwrap())
    }

    /// So long the backfill, so long the index.
    fn action(backfill: u64, index: u64) -> Action {
        let statement = |index, minutes| StatementEstimate {
            index,
            duration: Duration::from_mins(minutes),
            spread: None,
            basis: "measured".into(),
        };
        let whole = Duration::from_mins(backfill + index);
        let estimate = Estimate {
            statements: vec![statement(1, backfill), statement(2, index)],
            ..Estimate::new(whole, "measured")
        };
        Action::Apply { variant: Variant::Standard, estimate: Some(estimate), missing: None }
    }

    fn needed(backfill: u64, index: u64) -> Needed {
        Needed::by(&migration(), &action(backfill, index))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn shut(keys: &str, needed: Needed, now: &str) -> Vec<GateWait> {
        closed(&spec(keys), &GateState::default(), needed, at(now))
    }

    const NIGHTS: &str = "[[stage.window]]\ncron = \"0 2 * * 1-5\"\nfor = \"30m\"\n\
        [[stage.window]]\ncron = \"0 2 * * 6\"\nfor = \"2h\"";

    #[test]
    fn what_fits_begins_and_what_does_not_names_the_window_that_has_room() {
        let tuesday = "2026-11-24T02:10:00Z";
        assert_eq!(shut(NIGHTS, needed(0, 20), tuesday), []);
        let too_short = GateWait::WindowTooShort {
            needs: Duration::from_mins(21),
            closes: at("2026-11-24T02:30:00Z"),
            opens: Some(at("2026-11-25T02:00:00Z")),
        };
        assert_eq!(shut(NIGHTS, needed(0, 21), tuesday), [too_short]);
        // In none of the week's, but on Saturday.
        let saturday = GateWait::Window { opens: Some(at("2026-11-28T02:00:00Z")) };
        assert_eq!(shut(NIGHTS, needed(0, 40), "2026-11-24T12:00:00Z"), [saturday]);
    }

    #[test]
    fn a_backfill_that_pauses_need_not_fit_and_one_that_goes_on_must() {
        let now = "2026-11-24T02:10:00Z";
        assert_eq!(shut(NIGHTS, needed(600, 20), now), []);
        let goes_on = "window = { cron = \"0 2 * * *\", for = \"30m\", at_end = \"go on\" }";
        assert_eq!(shut(goes_on, needed(15, 5), now), []);
        assert!(matches!(shut(goes_on, needed(15, 6), now)[..], [GateWait::WindowTooShort { .. }]));
    }

    #[test]
    fn a_freeze_and_the_window_behind_it_are_both_told() {
        let frozen = format!("freeze = [\"2026-11-24/2026-11-25\"]\n{NIGHTS}");
        assert_eq!(
            shut(&frozen, Needed::default(), "2026-11-24T02:10:00Z"),
            [
                GateWait::Freeze { until: at("2026-11-26T00:00:00Z") },
                GateWait::Window { opens: Some(at("2026-11-26T02:00:00Z")) },
            ]
        );
    }

    #[test]
    fn an_agent_hears_for_how_long_it_may_begin_and_go_on() {
        let of = |keys: &str, now: &str| bounds(&spec(keys), &GateState::default(), needed(600, 20), at(now));
        let minutes = |n| Some(Duration::from_mins(n));
        let now = "2026-11-24T02:05:00Z";
        assert_eq!(of("", now), Bounds::default());
        assert_eq!(of(NIGHTS, now), Bounds { begin_within: minutes(5), batches_within: minutes(25) });
        let never = Bounds { begin_within: minutes(0), batches_within: minutes(0) };
        assert_eq!(of(NIGHTS, "2026-11-24T12:00:00Z"), never);
        let goes_on = "window = { cron = \"0 2 * * *\", for = \"30m\", at_end = \"go on\" }\n\
            freeze = [\"2026-11-25/2026-11-25\"]";
        assert_eq!(
            of(goes_on, "2026-11-24T23:00:00Z"),
            Bounds { begin_within: minutes(0), batches_within: minutes(60) },
            "to the freeze"
        );
        assert_eq!(of(goes_on, "2026-11-25T23:00:00Z"), never, "frozen");
    }

    #[test]
    fn a_migration_that_fits_into_no_window_is_refused_with_the_way_out() {
        let plan = |action| TargetPlan {
            database: "app".parse().unwrap(),
            migrations: vec![MigrationPlan { id: "001_a".parse().unwrap(), action, reason: String::new() }],
            warnings: vec![],
        };
        let now = at("2026-11-24T12:00:00Z");
        let check = |action| check_plan(plan(action), &[migration()], &spec(NIGHTS), now);
        assert!(check(action(6_000, 120)).is_ok());
        let error = check(action(0, 121)).unwrap_err();
        assert_eq!(
            error.message,
            "001_a should take 2h 01m in app, and no window of production is open for longer than 2h 00m"
        );
        assert!(error.hint.unwrap().contains("--override-window"));
    }
}
