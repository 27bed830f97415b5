//! Databases of a stage in which the same would happen: of a fleet they are shown once, by the largest of them.
//!
//! The same is what reads the same, apart from figures and the databases' own names: the plan, what was found and what is in
//! the way, whatever that is made of.

use std::collections::HashMap;

use super::super::View;
use super::super::fleet::some;
use super::super::line::{Line, text};
use super::super::number::{bytes, count};
use super::labelled;
use crate::answer::TargetAnswer;

/// Fewer are shown one by one.
const FEWEST: usize = 3;
/// Nothing is wrapped: where a line ends says nothing.
const WIDE: usize = 100_000;
/// What a figure may be of.
const UNITS: [&str; 10] = ["B", "kB", "MB", "GB", "TB", "ms", "s", "m", "h", "d"];

/// Of one kind, in the stage's order.
pub(super) struct Alike<'a> {
    pub(super) targets: Vec<&'a TargetAnswer>,
}

/// In the order of their first databases. `render` shows one of them.
pub(super) fn groups<'a>(
    targets: &'a [TargetAnswer],
    view: View,
    render: impl Fn(&TargetAnswer, View) -> Vec<Line>,
) -> Vec<Alike<'a>> {
    let mut groups: Vec<Alike<'a>> = Vec::new();
    let mut places = HashMap::new();
    for target in targets {
        let shape = shape_of(target, &render(target, View { width: WIDE, ..view }));
        let place = *places.entry(shape).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(known) => known.targets.push(target),
            None => groups.push(Alike { targets: vec![target] }),
        }
    }
    let few = |alike: Alike<'a>| -> Vec<Alike<'a>> {
        if alike.targets.len() >= FEWEST {
            return vec![alike];
        }
        alike.targets.into_iter().map(|target| Alike { targets: vec![target] }).collect()
    };
    groups.into_iter().flat_map(few).collect()
}

impl Alike<'_> {
    /// Whether they are told of as one.
    pub(super) fn is_group(&self) -> bool {
        self.targets.len() >= FEWEST
    }

    /// The one that is shown for all: of the largest is what takes longest.
    pub(super) fn example(&self) -> Option<&TargetAnswer> {
        let size = |target: &&TargetAnswer| target.inspection.as_ref().map(|i| i.database_bytes);
        // Of several of a size the first.
        self.targets.iter().copied().rev().max_by_key(size)
    }

    /// "297 databases, 12 GB together", who they are, and whose figures follow.
    pub(super) fn heading(&self, view: View) -> Vec<Line> {
        let sizes = self.targets.iter().filter_map(|target| target.inspection.as_ref());
        let together: u64 = sizes.map(|inspection| inspection.database_bytes).sum();
        let mut heading = Line::new().plain("   ").strong(self.number()).plain(" alike");
        if together > 0 {
            heading = heading.dim(format!(", {} together", bytes(together)));
        }
        let mut lines = vec![heading.cut(view.width)];
        lines.extend(Line::new().plain("     ").plain(self.names()).wrapped(view.width, 5));
        let example = self.example().map_or("", |target| target.database.as_str());
        let figures = Line::new().plain(example).dim(", whose figures these are");
        lines.extend(labelled("such as", &figures, view));
        lines
    }

    /// "297 databases"
    pub(super) fn number(&self) -> String {
        count(self.targets.len() as u64, "database")
    }

    /// The first of them, and how many more there are.
    pub(super) fn names(&self) -> String {
        some(self.targets.iter().map(|target| target.database.as_str()))
    }
}

/// What is shown of it, without figures and names of its own.
fn shape_of(target: &TargetAnswer, lines: &[Line]) -> String {
    let names = [Some(target.database.as_str()), target.inspection.as_ref().map(|i| i.database.as_str())];
    // Another version is another database, however small the figure.
    let version = target.inspection.as_ref().map_or("", |i| i.server_version.as_str());
    let mut shape = format!("{version}\n");
    for word in text(lines).split_inclusive(is_between) {
        let core = word.trim_end_matches(|c| is_between(c) || ",.;:".contains(c));
        let behind = &word[core.len()..];
        let behind_figure = shape.trim_end().ends_with('#');
        match core {
            "" => {}
            _ if names.contains(&Some(core)) => shape.push('@'),
            _ if is_figure(core) || behind_figure && UNITS.contains(&core) => {
                if !behind_figure {
                    shape.push('#');
                }
            }
            "row" if behind_figure => shape.push_str("rows"),
            _ => shape.push_str(core),
        }
        shape.push_str(behind);
    }
    shape
}

fn is_between(c: char) -> bool {
    c.is_whitespace() || "()'\"`/=".contains(c)
}

/// `20,000`, `2.1x`, `100ms`, `2026-11-23`; a migration's number is no figure.
fn is_figure(word: &str) -> bool {
    let letters = word.chars().filter(|c| c.is_alphabetic()).count();
    word.starts_with(|c: char| c.is_ascii_digit()) && letters <= 2 && !word.contains('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_ones_own_name_make_no_difference_and_all_else_does() {
        let shape = |line: &str| {
            let target = super::super::tests::fleet::tenant(1);
            shape_of(&target, &[Line::new().plain(line)])
        };
        let same = |one: &str, other: &str| shape(one) == shape(other);
        assert!(same("users has 20,000 rows, 5.1 MB", "users has 1 row, 12 kB"));
        assert!(same("takes about 6.0 s: 20,000 rows took 400 ms", "takes about 2m 3s: 7 rows took 1 h"));
        assert!(same("database tenant-001 of 6.0 MB", "database tenant-001 of 1.0 GB"));
        assert!(!same("table users_2024 is there", "table users_2025 is there"));
        assert!(!same("nothing to do: 001_a is there", "nothing to do: 002_b is there"));
        assert!(!same("up.sql: fewer than 100,000", "up.batch.sql: from 100,000 on"));
        assert!(!same("database other of 6.0 MB", "database tenant-001 of 6.0 MB"));
    }
}
