//! What one statement does in the databases where it would run: what is the same everywhere is said once.

use stopover_model::impact::{LockMode, LockTaken, StatementImpact, Work, WorkKind};

use super::super::impact::{blocked, relation, work};
use super::super::line::{Line, Tone};
use super::super::number::{bytes, count};
use super::place::Place;

/// Rows and bytes.
type Size = (u64, u64);
/// A database, and how much it is there.
type Here<'a> = (&'a str, Option<Size>);

/// A line about a statement, without what differs from database to database.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    tone: Tone,
    text: String,
    /// It is followed by how much that is.
    size: Option<Size>,
}

/// What is said of the statement of that number.
pub(super) fn lines(index: usize, places: &[Place<'_>]) -> Vec<Line> {
    let mut all: Vec<(Said, Vec<Here<'_>>)> = Vec::new();
    for place in places {
        let impact = place.statements.iter().find(|impact| impact.index as usize == index);
        for said in impact.map(said).unwrap_or_default() {
            let here = (place.name.as_str(), said.size);
            match all.iter_mut().find(|(known, _)| known.text == said.text) {
                Some((_, places)) => places.push(here),
                None => all.push((said, vec![here])),
            }
        }
    }
    all.into_iter().map(|(said, here)| line(&said, &here, places.len())).collect()
}

/// The same of a statement that runs in one database alone.
pub(in crate::render) fn lines_here(
    index: usize,
    database: &str,
    statements: &[StatementImpact],
) -> Vec<Line> {
    lines(index, &[Place { environment: None, name: database.to_owned(), statements }])
}

fn line(said: &Said, here: &[Here<'_>], places: usize) -> Line {
    let line = Line::of(said.tone, &said.text);
    let everywhere = here.len() == places;
    let first = here.first().and_then(|(_, size)| *size);
    if here.iter().all(|(_, size)| *size == first) {
        let line = match first {
            Some(size) => line.with(said.tone, format!(" ({})", sized(size))),
            None => line,
        };
        if everywhere {
            return line;
        }
        let names: Vec<&str> = here.iter().map(|(name, _)| *name).collect();
        return match names.len() {
            1..=3 => line.dim(format!(", in {}", names.join(", "))),
            many => line.dim(format!(", in {many} of {places} databases")),
        };
    }
    let sizes = here.iter().filter_map(|(name, size)| size.map(|size| (*name, size)));
    if here.len() <= 3 {
        let each: Vec<String> = sizes.map(|(name, size)| format!("{name}: {}", sized(size))).collect();
        return line.dim(format!(" ({})", each.join("; ")));
    }
    let largest = sizes.max_by_key(|(_, size)| *size);
    let largest = largest.map(|(name, size)| format!(" (up to {}, in {name})", sized(size)));
    line.dim(largest.unwrap_or_default())
}

fn sized((rows, size): Size) -> String {
    format!("{}, {}", count(rows, "row"), bytes(size))
}

fn said(impact: &StatementImpact) -> Vec<Said> {
    let mut lines = Vec::new();
    let mut left: Vec<&Work> = impact.work.iter().collect();
    for group in groups(&impact.locks) {
        lines.extend(of_lock(&group, &mut left));
    }
    for work in left {
        lines.push(of_work(work));
    }
    lines.extend(of_triggers(impact));
    lines.extend(impact.notes.iter().map(|note| Said {
        tone: Tone::Dim,
        text: note.replace("public.", ""),
        size: None,
    }));
    lines
}

/// A lock, and those on what inherits from its relation.
struct Group<'a> {
    lock: &'a LockTaken,
    below: Vec<&'a str>,
    partitions: bool,
}

/// A table of a hundred partitions is one line.
fn groups(locks: &[LockTaken]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for lock in locks {
        let parent = lock.why.as_deref().and_then(|why| {
            let partition = why.strip_prefix("a partition of ").map(|parent| (parent, true));
            partition.or_else(|| why.strip_prefix("inherits from ").map(|parent| (parent, false)))
        });
        let known = groups.iter_mut().find(|group| {
            parent.is_some_and(|(parent, _)| group.lock.relation == parent) && group.lock.mode == lock.mode
        });
        match (known, parent) {
            (Some(group), Some((_, partitions))) => {
                group.below.push(&lock.relation);
                group.partitions = partitions;
            }
            _ => groups.push(Group { lock, below: Vec::new(), partitions: false }),
        }
    }
    groups
}

fn of_lock(group: &Group<'_>, left: &mut Vec<&Work>) -> Option<Said> {
    let lock = group.lock;
    // What nobody feels is only told of where it changes something.
    if lock.mode < LockMode::ShareUpdateExclusive {
        return None;
    }
    let mut text = vec![format!("{} on {}", lock.mode, relation(&lock.relation))];
    if !group.below.is_empty() {
        let one = if group.partitions { "partition" } else { "child table" };
        text.push(format!(" and {}", count(group.below.len() as u64, one)));
    }
    text.extend(lock.why.as_ref().map(|why| format!(", {}", why.replace("public.", ""))));
    text.push(format!(": {}", blocked(lock.mode)));
    let of_it =
        |work: &&Work| work.relation == lock.relation || group.below.contains(&work.relation.as_str());
    let mine: Vec<&Work> = left.iter().copied().filter(of_it).collect();
    let mut size = None;
    if let Some(kind) = mine.first().map(|work| work.kind) {
        let mine: Vec<&Work> = mine.into_iter().filter(|work| work.kind == kind).collect();
        size = Some(mine.iter().fold((0, 0), |(rows, bytes), work| (rows + work.rows, bytes + work.bytes)));
        left.retain(|work| !mine.contains(work));
        text.push(format!("; {}", work(kind, "it")));
    }
    let tone = if lock.mode.blocks_writes() { Tone::Warn } else { Tone::Dim };
    Some(Said { tone, text: text.concat(), size })
}

fn of_work(work: &Work) -> Said {
    let text = super::super::impact::work(work.kind, relation(&work.relation));
    let tone = if work.kind == WorkKind::ChangeRows { Tone::Plain } else { Tone::Dim };
    Said { tone, text, size: Some((work.rows, work.bytes)) }
}

/// `fires a, b for each row of users`
fn of_triggers(impact: &StatementImpact) -> Vec<Said> {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for trigger in &impact.triggers {
        let table = relation(&trigger.table);
        let how = if trigger.for_each_row {
            format!("for each row of {table}")
        } else {
            format!("once for {table}")
        };
        match lines.iter_mut().find(|(known, _)| *known == how) {
            Some((_, names)) => names.push(&trigger.name),
            None => lines.push((how, vec![&trigger.name])),
        }
    }
    let line = |(how, names): (String, Vec<&str>)| Said {
        tone: Tone::Warn,
        text: format!("fires {} {how}", names.join(", ")),
        size: None,
    };
    lines.into_iter().map(line).collect()
}
