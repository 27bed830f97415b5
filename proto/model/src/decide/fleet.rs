//! A stage's databases, many at a time: which of them go one step further now.
//!
//! One by one they keep strictly to their order. Several at a time go wave by wave; one that waits for another try keeps its
//! place among those, one whose agent is away does not.

use std::collections::BTreeSet;

use super::{AgentPresence, Command, EnvironmentView, Next};
use crate::deployment::{FleetChange, Set, Stage, Target};
use crate::event::{Actor, Event, StageIndex, Waiting};
use crate::id::{DatabaseName, EnvironmentName};
use crate::wave::{Labels, divide};

/// So many databases are named in one sentence.
const MOST_NAMED: usize = 5;

/// The event that begins a stage with the databases that it is about; else what is waited for.
pub(super) fn begin(index: StageIndex, stage: &Stage, view: &EnvironmentView) -> Result<Event, Waiting> {
    let environment = || stage.spec.environment.clone();
    let chosen: Vec<&DatabaseName> = if stage.spec.databases.is_empty() {
        view.databases.keys().collect()
    } else {
        stage.spec.databases.iter().collect()
    };
    let unserved = chosen.iter().find(|database| !view.databases.contains_key(**database));
    if chosen.is_empty() || unserved.is_some() {
        let database = unserved.map(|database| (*database).clone());
        return Err(Waiting::NoAgent { environment: environment(), database });
    }
    let none = Labels::default();
    let labelled = chosen.into_iter().map(|name| (name, view.labels.get(name).unwrap_or(&none)));
    let fleet = &stage.spec.fleet;
    let selected: Vec<_> = labelled
        .filter(|(_, labels)| fleet.select.as_ref().is_none_or(|select| select.fits(labels)))
        .collect();
    let nobody = |selector| Waiting::NoneSelected { environment: environment(), selector };
    if let Some(select) = fleet.select.as_ref().filter(|_| selected.is_empty()) {
        return Err(nobody(select.clone()));
    }
    let divided = divide(&fleet.waves, &selected).map_err(nobody)?;
    let size = |wave: &Vec<&DatabaseName>| u32::try_from(wave.len()).unwrap_or(u32::MAX);
    let waves = if fleet.waves.is_empty() { Vec::new() } else { divided.iter().map(size).collect() };
    let databases = divided.into_iter().flatten().cloned().collect();
    Ok(Event::StageStarted { stage: index, databases, waves })
}

/// Who came and went, where that is not known yet.
pub(super) fn changed(next: &Next<'_>, index: StageIndex, stage: &Stage) -> Option<Event> {
    if !stage.spec.databases.is_empty() {
        return None;
    }
    let view = next.world.environments.get(&stage.spec.environment)?;
    let selects = |name: &DatabaseName| match &stage.spec.fleet.select {
        None => true,
        Some(select) => view.labels.get(name).is_some_and(|labels| select.fits(labels)),
    };
    let joined = view.databases.keys().filter(|name| stage.targets.place(name).is_none() && selects(name));
    let served: BTreeSet<_> = view.databases.keys().collect();
    let left = stage.targets.iter().map(|t| &t.database).filter(|name| !served.contains(name));
    let change = FleetChange { joined: joined.cloned().collect(), left: left.cloned().collect() };
    let is_news = change != stage.changed.clone().unwrap_or_default();
    is_news.then_some(Event::FleetChanged { stage: index, joined: change.joined, left: change.left })
}

/// Takes databases further, until as many are under way as may be. `further` says whether it has anything to do with one.
pub(super) fn go_through(
    next: &mut Next<'_>,
    stage: &Stage,
    scope: Scope,
    mut further: impl FnMut(&mut Next<'_>, &Target) -> bool,
) {
    let environment = &stage.spec.environment;
    let parallel = stage.spec.fleet.max_parallel as usize;
    let in_order = parallel == 1;
    let places = match scope {
        Scope::Wave => stage.targets.current_wave().unwrap_or(0..0),
        Scope::Unprepared | Scope::All | Scope::ByItself => 0..stage.targets.len(),
    };
    // Of one migration alone nothing stands behind what runs.
    let nothing_behind = next.deployment.migrations.len() == 1 && stage.spec.calendar.is_empty();
    let mut under_way = 0;
    let waited_before = next.waiting.take();
    for set in [Set::Working, Set::Parked, Set::Fresh] {
        if scope == Scope::Unprepared && set == Set::Parked {
            continue;
        }
        for target in stage.targets.in_wave(set, &places) {
            if under_way >= parallel || is_settled(next) {
                break;
            }
            if scope == Scope::ByItself && !target.by_itself {
                continue;
            }
            let running = stage.targets.is(Set::Running, target);
            let away = !in_order && !is_here(next, environment, &target.database);
            let left_alone = away && set == Set::Fresh || running && nothing_behind;
            let concerned = left_alone || further(next, target);
            under_way += usize::from(concerned && !away);
        }
    }
    let goes_on =
        stage.targets.any(Set::Running) || next.commands.iter().any(|c| matches!(c, Command::Start { .. }));
    if !in_order && goes_on && !matches!(next.waiting, Some(Waiting::Gates { .. })) {
        // One that waits for another try holds nobody up.
        next.waiting = None;
    }
    if !in_order && !goes_on && next.waiting.is_none() {
        next.waiting = somebody_away(next, stage, &places);
    }
    if next.waiting.is_none() {
        next.waiting = waited_before;
    }
}

/// Which databases are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Of the wave that is under way.
    Wave,
    /// All that people can't look at yet.
    Unprepared,
    All,
    /// Those that a person has asked for by name.
    ByItself,
}

/// What is in the way of the stage's end once nothing more goes on by itself.
pub(super) fn hold_for_failed(next: &mut Next<'_>, stage: &Stage) {
    let failed: Vec<_> = stage.failed_targets().map(|t| t.database.as_str()).collect();
    let all = stage.targets.len();
    let cause = format!(
        "{} of {all} databases failed, the others are through: {}; stopover resume {} tries them again, with \
         --leave-out NAME it goes on without one",
        failed.len(),
        named(&failed),
        next.deployment.id,
    );
    next.append(Event::Paused { cause, by: Actor::Pipeline });
}

/// "a, b and 3 more"
pub(super) fn named(names: &[&str]) -> String {
    match names.len().checked_sub(MOST_NAMED) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..MOST_NAMED].join(", ")),
        _ => names.join(", "),
    }
}

/// An event is decided on already, or everything waits for the same.
fn is_settled(next: &Next<'_>) -> bool {
    next.commands.iter().any(|c| matches!(c, Command::Append(_)))
        || matches!(next.waiting, Some(Waiting::Gates { .. }))
}

fn is_here(next: &Next<'_>, environment: &EnvironmentName, database: &DatabaseName) -> bool {
    matches!(next.world.presence(environment, database), Some(AgentPresence::Connected(_)))
}

fn somebody_away(next: &Next<'_>, stage: &Stage, places: &std::ops::Range<usize>) -> Option<Waiting> {
    let environment = stage.spec.environment.clone();
    let sets = [Set::Working, Set::Parked, Set::Fresh].into_iter();
    let mut all = sets.flat_map(|set| stage.targets.in_wave(set, places));
    let away = all.find(|target| !is_here(next, &environment, &target.database))?;
    let database = away.database.clone();
    Some(match next.world.presence(&environment, &database) {
        Some(AgentPresence::Away(agent)) => {
            Waiting::AgentAway { environment, database, agent: agent.clone() }
        }
        _ => Waiting::NoAgent { environment, database: Some(database) },
    })
}
