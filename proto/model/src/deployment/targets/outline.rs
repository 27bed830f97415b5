//! A stage's databases as they are kept and passed on: all of them, or their names and where each stands, with a few in
//! full. What is kept of all of them together is made anew, but for that.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Standing, Target, Targets};
use crate::id::DatabaseName;

/// Where each database stands, and those in full that somebody wants to look into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outline {
    names: Vec<DatabaseName>,
    standings: Vec<Standing>,
    sizes: Vec<u32>,
    /// By their places.
    whole: BTreeMap<usize, Target>,
}

#[derive(Serialize)]
struct Borrowed<'a> {
    all: &'a [Target],
    sizes: Vec<u32>,
}

#[derive(Deserialize)]
struct Owned {
    all: Vec<Target>,
    sizes: Vec<u32>,
}

impl Serialize for Targets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Borrowed { all: &self.all, sizes: self.sizes() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Targets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Owned::deserialize(deserializer).map(|Owned { all, sizes }| Self::new(all, &sizes))
    }
}

impl Targets {
    /// With those in full that are at these places.
    pub(crate) fn outline(&self, places: impl IntoIterator<Item = usize>) -> Outline {
        let whole = places.into_iter().filter_map(|place| Some((place, self.all.get(place)?.clone())));
        Outline {
            whole: whole.collect(),
            names: self.all.iter().map(|target| target.database.clone()).collect(),
            standings: self.standings.clone(),
            sizes: self.sizes(),
        }
    }
}

impl Outline {
    /// Each is where it was. Of those that were not kept in full only that and the name is known.
    pub(crate) fn into_targets(self) -> Targets {
        let Self { names, standings, sizes, mut whole } = self;
        let one = |(place, name): (usize, DatabaseName)| {
            whole.remove(&place).unwrap_or_else(|| Target::of_name(name))
        };
        let all = names.into_iter().enumerate().map(one).collect();
        let mut targets = Targets::new(all, &sizes);
        for (place, standing) in standings.into_iter().enumerate().take(targets.all.len()) {
            targets.stand_at(place, standing);
        }
        targets
    }
}
