//! A stage's databases, and what is kept of all of them together, so that nobody looks at ten thousand to find the few
//! that something is due in.
//!
//! Each event concerns one database or a whole stage; after it the places of those are put where they belong now. Nothing
//! here is told by an event: it all follows from the databases themselves.

mod outline;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, Index, Range};
use std::slice::SliceIndex;

pub(super) use outline::Outline;

use super::target::Target;
use crate::id::DatabaseName;

/// How many databases are where. Each is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FleetCounts {
    pub fresh: usize,
    /// Begun, or about to go on.
    pub working: usize,
    pub done: usize,
    pub failed: usize,
    pub left_out: usize,
}

impl FleetCounts {
    #[must_use]
    pub fn all(&self) -> usize {
        self.fresh + self.working + self.done + self.failed + self.left_out
    }
}

/// The databases of a stage, in the order in which they are migrated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Targets {
    all: Vec<Target>,
    places: BTreeMap<DatabaseName, usize>,
    standings: Vec<Standing>,
    sets: [BTreeSet<usize>; SETS],
    /// Where each wave ends.
    ends: Vec<usize>,
    /// By what PostgreSQL calls them: the cluster, and the database in it.
    physical: BTreeMap<Physical, BTreeSet<usize>>,
    /// The same, by place.
    known_as: Vec<Option<Physical>>,
}

/// The cluster's system identifier, and the name of the database in it.
type Physical = (String, String);

/// Places of databases for which something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Nothing was begun.
    Fresh,
    /// Begun, neither parked, failed nor through.
    Working,
    /// Everything that comes before the first migration's backup is done, and nothing behind it is begun.
    Parked,
    /// A step failed for good before the soak.
    Failed,
    /// A step is running.
    Running,
    /// Something of the deployment is there, or may be.
    Affected,
    /// A migration was begun.
    Migrating,
    /// Its plan applies something.
    Applying,
    /// Somebody goes on without it.
    LeftOut,
    /// A person has it tried again, and it is not through.
    ByItself,
}

const SETS: usize = 10;

/// The sets that a database is in, a bit for each.
type Standing = u16;

impl Targets {
    /// `sizes` are those of its waves; of none all are one.
    pub(crate) fn new(all: Vec<Target>, sizes: &[u32]) -> Self {
        let places = all.iter().enumerate().map(|(place, t)| (t.database.clone(), place)).collect();
        let standings = vec![0; all.len()];
        let mut end = 0;
        let ends = sizes.iter().map(|size| {
            end = all.len().min(end + *size as usize);
            end
        });
        let mut ends: Vec<_> = ends.collect();
        if ends.last().copied().unwrap_or(0) < all.len() {
            ends.push(all.len());
        }
        let sets = Default::default();
        let known_as = vec![None; all.len()];
        let mut new = Self { all, places, standings, sets, ends, physical: BTreeMap::new(), known_as };
        new.review_all();
        new
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[must_use]
    pub fn named(&self, database: &DatabaseName) -> Option<&Target> {
        self.place(database).and_then(|place| self.all.get(place))
    }

    /// Where a database is in the order.
    #[must_use]
    pub fn place(&self, database: &DatabaseName) -> Option<usize> {
        self.places.get(database).copied()
    }

    /// Those for which something holds, in their order.
    pub(crate) fn that_are(&self, set: Set) -> impl DoubleEndedIterator<Item = &Target> + Clone {
        self.sets[set as usize].iter().filter_map(|place| self.looked_at(*place))
    }

    #[must_use]
    pub(crate) fn count(&self, set: Set) -> usize {
        self.sets[set as usize].len()
    }

    #[must_use]
    pub(crate) fn any(&self, set: Set) -> bool {
        !self.sets[set as usize].is_empty()
    }

    /// Not through: in no order.
    pub(crate) fn unfinished(&self) -> usize {
        [Set::Fresh, Set::Working, Set::Parked, Set::Failed].into_iter().map(|set| self.count(set)).sum()
    }

    /// The first that is not through.
    #[must_use]
    pub(crate) fn first_unfinished(&self) -> Option<&Target> {
        let firsts = [Set::Fresh, Set::Working, Set::Parked, Set::Failed];
        let first = firsts.into_iter().filter_map(|set| self.sets[set as usize].first()).min();
        first.and_then(|place| self.all.get(*place))
    }

    pub(crate) fn is(&self, set: Set, target: &Target) -> bool {
        self.place(&target.database).is_some_and(|place| self.sets[set as usize].contains(&place))
    }

    /// The places of each wave.
    pub(crate) fn waves(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        begins.zip(self.ends.iter().copied()).map(|(begin, end)| begin..end)
    }

    /// How many databases each wave has.
    #[must_use]
    pub fn sizes(&self) -> Vec<u32> {
        self.waves().map(|places| u32::try_from(places.len()).unwrap_or(u32::MAX)).collect()
    }

    /// The places of the wave that is under way: of the first database that can go on.
    pub(crate) fn current_wave(&self) -> Option<Range<usize>> {
        let going = [Set::Fresh, Set::Working, Set::Parked];
        let first = going.into_iter().filter_map(|set| self.sets[set as usize].first()).min()?;
        self.waves().find(|places| places.contains(first))
    }

    /// Of those in a wave.
    pub(crate) fn in_wave(&self, set: Set, places: &Range<usize>) -> impl Iterator<Item = &Target> {
        self.sets[set as usize].range(places.clone()).filter_map(|place| self.looked_at(*place))
    }

    pub(crate) fn counts(&self, places: Range<usize>) -> FleetCounts {
        let count = |set: Set| self.sets[set as usize].range(places.clone()).count();
        let (fresh, failed, left_out) = (count(Set::Fresh), count(Set::Failed), count(Set::LeftOut));
        let working = count(Set::Working) + count(Set::Parked);
        let done = places.len() - fresh - failed - left_out - working;
        FleetCounts { fresh, working, done, failed, left_out }
    }

    /// Another entry for the same database of the same cluster, that comes before it or is planned already.
    pub(crate) fn twin(&self, target: &Target) -> Option<&Target> {
        let own = self.place(&target.database)?;
        let twins = self.physical.get(&physical(target)?)?.iter().filter(|place| **place != own);
        let mut twins = twins.filter_map(|place| Some((*place, self.all.get(*place)?)));
        twins.find(|(place, twin)| *place < own || twin.plan.is_some()).map(|(_, twin)| twin)
    }

    pub(crate) fn named_mut(&mut self, database: &DatabaseName) -> Option<&mut Target> {
        self.place(database).and_then(|place| self.all.get_mut(place))
    }

    pub(super) fn all_mut(&mut self) -> std::slice::IterMut<'_, Target> {
        self.all.iter_mut()
    }

    /// Something has changed in this database.
    pub(super) fn review(&mut self, database: &DatabaseName) {
        if let Some(place) = self.place(database) {
            self.review_at(place);
        }
    }

    /// Something may have changed in any of them.
    pub(super) fn review_all(&mut self) {
        (0..self.all.len()).for_each(|place| self.review_at(place));
    }

    fn looked_at(&self, place: usize) -> Option<&Target> {
        #[cfg(test)]
        looks::add(1);
        self.all.get(place)
    }

    fn know_at(&mut self, place: usize) {
        let now = physical(&self.all[place]);
        if self.known_as[place] == now {
            return;
        }
        if let Some(now) = now.clone() {
            self.physical.entry(now).or_default().insert(place);
        }
        let before = std::mem::replace(&mut self.known_as[place], now);
        let Some(before) = before else { return };
        if let Some(places) = self.physical.get_mut(&before) {
            places.remove(&place);
            if places.is_empty() {
                self.physical.remove(&before);
            }
        }
    }

    fn review_at(&mut self, place: usize) {
        self.know_at(place);
        self.stand_at(place, standing(&self.all[place]));
    }

    fn stand_at(&mut self, place: usize, now: Standing) {
        let before = std::mem::replace(&mut self.standings[place], now);
        let changed = now ^ before;
        for (bit, set) in self.sets.iter_mut().enumerate() {
            if changed & (1 << bit) == 0 {
                continue;
            }
            if now & (1 << bit) == 0 {
                set.remove(&place);
            } else {
                set.insert(place);
            }
        }
    }
}

/// Neither through, nor failed, nor left out.
fn goes_on(progress: Standing) -> bool {
    let any = [Set::Fresh, Set::Working, Set::Parked].map(|set| 1 << set as Standing);
    any.iter().any(|bit| progress & bit != 0)
}

/// What PostgreSQL calls it, once it was looked at.
fn physical(target: &Target) -> Option<Physical> {
    let found = target.inspection().filter(|found| !found.system_identifier.is_empty())?;
    Some((found.system_identifier.clone(), found.database.clone()))
}

fn standing(target: &Target) -> Standing {
    let bit = |set: Set, holds: bool| Standing::from(holds) << set as Standing;
    let progress = if target.left_out.is_some() {
        bit(Set::LeftOut, true)
    } else if target.is_migrated() {
        0
    } else if target.has_failed() {
        bit(Set::Failed, true)
    } else if target.inspect.attempts == 0 && !target.was_begun() {
        bit(Set::Fresh, true)
    } else if target.is_parked() {
        bit(Set::Parked, true)
    } else {
        bit(Set::Working, true)
    };
    progress
        | bit(Set::ByItself, target.by_itself && goes_on(progress))
        | bit(Set::Running, target.is_running())
        | bit(Set::Affected, target.has_effects())
        | bit(Set::Migrating, target.was_begun())
        | bit(Set::Applying, target.applies_anything())
}

impl Deref for Targets {
    type Target = [Target];

    fn deref(&self) -> &[Target] {
        #[cfg(test)]
        looks::add(self.all.len());
        &self.all
    }
}

impl<I: SliceIndex<[Target]>> Index<I> for Targets {
    type Output = I::Output;

    fn index(&self, index: I) -> &I::Output {
        &self.all[index]
    }
}

impl<'a> IntoIterator for &'a Targets {
    type Item = &'a Target;
    type IntoIter = std::slice::Iter<'a, Target>;

    fn into_iter(self) -> Self::IntoIter {
        #[cfg(test)]
        looks::add(self.all.len());
        self.all.iter()
    }
}

/// How many databases were looked at, or could be: whoever goes through all of them is counted with all.
#[cfg(test)]
pub(crate) mod looks {
    use std::cell::Cell;

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn add(count: usize) {
        LOOKS.with(|looks| looks.set(looks.get() + count));
    }

    /// Since it was last asked.
    pub(crate) fn take() -> usize {
        LOOKS.with(|looks| looks.replace(0))
    }
}
