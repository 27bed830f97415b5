//! A stage's databases, and what is kept of all of them together, so that nobody looks at ten thousand to find the few
//! that something is due in.
//!
//! Each event concerns one database or a whole stage; after it the places of those are put where they belong now. Nothing
//! here is told by an event: it all follows from the databases themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, Index};
use std::slice::SliceIndex;

use super::target::Target;
use crate::id::DatabaseName;

/// The databases of a stage, in the order in which they are migrated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Targets {
    all: Vec<Target>,
    places: BTreeMap<DatabaseName, usize>,
    standings: Vec<Standing>,
    sets: [BTreeSet<usize>; SETS],
}

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
}

const SETS: usize = 8;

/// The sets that a database is in, a bit for each.
type Standing = u8;

impl Targets {
    pub(crate) fn new(all: Vec<Target>) -> Self {
        let places = all.iter().enumerate().map(|(place, t)| (t.database.clone(), place)).collect();
        let standings = vec![0; all.len()];
        let mut new = Self { all, places, standings, sets: Default::default() };
        new.review_all();
        new
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
        self.sets[set as usize].iter().filter_map(|place| self.all.get(*place))
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

    fn review_at(&mut self, place: usize) {
        let now = standing(&self.all[place]);
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

fn standing(target: &Target) -> Standing {
    let bit = |set: Set, holds: bool| u8::from(holds) << set as u8;
    let progress = if target.is_migrated() {
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
        | bit(Set::Running, target.is_running())
        | bit(Set::Affected, target.has_effects())
        | bit(Set::Migrating, target.was_begun())
        | bit(Set::Applying, target.applies_anything())
}

impl Deref for Targets {
    type Target = [Target];

    fn deref(&self) -> &[Target] {
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
        self.all.iter()
    }
}
