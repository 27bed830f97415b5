//! Which objects differ, in terms that people know.

use std::collections::{BTreeMap, BTreeSet};

use stopover_model::drift::{DriftedObject, ObjectChange};

use super::object::ObjectName;
use super::parts;
use crate::fingerprint::Fingerprint;
use crate::ledger::{KnownObject, differing};
use crate::postgres::shown;

pub(super) struct Difference {
    pub(super) objects: Vec<DriftedObject>,
    pub(super) partitions: u64,
}

/// One object that is not as remembered.
struct Differs<'a> {
    name: ObjectName<'a>,
    before: Option<&'a KnownObject>,
    now: bool,
    definition: Option<&'a str>,
}

pub(super) fn difference(known: &BTreeMap<String, KnownObject>, now: &Fingerprint) -> Difference {
    let changes = differing(known, now);
    let differing: Vec<Differs<'_>> = changes
        .iter()
        .map(|(object, (_, hash))| Differs {
            name: ObjectName::of(object),
            before: known.get(object),
            now: hash.is_some(),
            definition: now.definition(object),
        })
        .filter(|differs| !differs.is_reindex_leftover())
        .collect();
    // What belongs to a table that came or went is not named beside it.
    let whole = |differs: &&Differs<'_>| differs.name.is_whole() && differs.change() != ObjectChange::Changed;
    let partition = |differs: &&Differs<'_>| differs.is_partition_maintenance();
    let told: BTreeSet<&str> = differing
        .iter()
        .filter(|differs| whole(differs) || partition(differs))
        .map(|differs| differs.name.name.as_str())
        .collect();
    let partitions = differing.iter().filter(partition).count() as u64;
    let objects = differing
        .iter()
        .filter(|differs| !partition(differs))
        .filter(|differs| differs.name.table.as_deref().is_none_or(|table| !told.contains(table)))
        .map(Differs::told)
        .collect();
    Difference { objects, partitions }
}

impl Differs<'_> {
    fn change(&self) -> ObjectChange {
        match (self.before, self.now) {
            (None, _) => ObjectChange::Added,
            (_, false) => ObjectChange::Removed,
            _ => ObjectChange::Changed,
        }
    }

    fn old_definition(&self) -> Option<&str> {
        self.before.and_then(|known| known.definition.as_deref())
    }

    /// A partition that came, went, or was attached or detached: those who manage them do so every day. A child by
    /// inheritance is what partitions were before.
    fn is_partition_maintenance(&self) -> bool {
        if !matches!(self.name.kind, "table" | "foreign table") {
            return false;
        }
        let is_part = |definition: Option<&str>| {
            let part = |label| parts::part(self.name.kind, definition, label);
            part("partition bound").is_some() || part("parents").is_some_and(|parents| parents != "{}")
        };
        is_part(self.old_definition()) != is_part(self.definition)
    }

    /// `_ccnew` and `_ccold` indexes stand beside the true one while REINDEX CONCURRENTLY runs, or after it broke off.
    fn is_reindex_leftover(&self) -> bool {
        let name = self.name.name.trim_end_matches('"').trim_end_matches(|c: char| c.is_ascii_digit());
        if self.name.kind != "index" || !(name.ends_with("_ccnew") || name.ends_with("_ccold")) {
            return false;
        }
        let definition = if self.now { self.definition } else { self.old_definition() };
        parts::part("index", definition, "valid").as_deref() == Some("f")
    }

    fn told(&self) -> DriftedObject {
        let kind = self.name.kind;
        let details = match self.change() {
            ObjectChange::Added => parts::summary(kind, self.definition).into_iter().collect(),
            ObjectChange::Removed => parts::summary(kind, self.old_definition()).into_iter().collect(),
            ObjectChange::Changed => parts::changes(kind, self.old_definition(), self.definition),
        };
        DriftedObject {
            kind: kind.to_owned(),
            name: shown(&self.name.name, 300),
            table: self.name.table.as_ref().map(|table| shown(table, 300)),
            change: self.change(),
            details,
        }
    }
}
