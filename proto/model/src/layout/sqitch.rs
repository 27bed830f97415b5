//! sqitch: sqitch.plan says the order; deploy/ and revert/ hold the scripts.
//!
//! A change that was reworked stands in the plan twice. The earlier one's scripts carry a tag in their names
//! (`x@v1.0.sql`); here the first keeps the name, and the second is `x.2`, so that what is applied stays what it was.
//! The scripts of verify/ fail in order to say no, which is no check of ours: they are not run.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Part};
use super::error::LayoutError;
use super::files::{Files, is_sql, lines};
use crate::migration::{Layout, TransactionMode};

const PLAN: &str = "sqitch.plan";

/// A change of the plan.
struct Change<'a> {
    name: &'a str,
    line: u32,
    /// How often it stood in the plan before.
    earlier: usize,
    /// The tags between it and the change that reworks it; None when it is not reworked.
    tags: Option<Vec<&'a str>>,
}

pub(super) fn read<'a>(files: &Files<'a>, notes: &mut Vec<String>) -> Result<Vec<Draft<'a>>, LayoutError> {
    let mut used = BTreeSet::from([PLAN]);
    let mut drafts = Vec::new();
    for change in changes(files)? {
        let file = change.file(files);
        let Some((path, content)) = files.get(&format!("deploy/{file}")) else {
            let why = format!(
                "{} is in the plan, and deploy/{file} is not there; add it, or remove the change from the plan",
                change.name.escape_debug()
            );
            return Err(files.marker(PLAN, change.line, why));
        };
        let down = files.get(&format!("revert/{file}"));
        used.extend([Some(path), down.map(|(path, _)| path)].into_iter().flatten());
        let name = match change.earlier {
            0 => change.name.to_owned(),
            earlier => format!("{}.{}", change.name, earlier + 1),
        };
        let part = |(path, content)| Part::whole(path, content, TransactionMode::Auto);
        drafts.push(Draft { name, up: part((path, content)), down: down.map(part) });
    }
    let mut verify = 0;
    for (path, _) in files.iter() {
        match path.split_once('/') {
            Some(("deploy" | "revert", _)) if is_sql(path) && !used.contains(path) => {
                return Err(files.stray(path, Layout::Sqitch));
            }
            Some(("verify", _)) if is_sql(path) => verify += 1,
            _ => {}
        }
    }
    if verify > 0 {
        notes.push(format!("scripts in verify/: {verify}, not run"));
    }
    Ok(drafts)
}

/// The name that the plan gives its project, by which the registry tells several apart.
pub(super) fn project(files: &Files<'_>) -> Result<Option<String>, LayoutError> {
    let named = |line: &str| {
        let (key, value) = line.trim().strip_prefix('%')?.split_once('=')?;
        (key.trim() == "project").then(|| value.trim().to_owned())
    };
    Ok(lines(files.text(PLAN)?).find_map(|line| named(line.text)))
}

fn changes<'a>(files: &Files<'a>) -> Result<Vec<Change<'a>>, LayoutError> {
    if files.get(PLAN).is_none() {
        return Err(LayoutError::Empty { directory: files.directory.to_owned() });
    }
    let mut changes: Vec<Change<'a>> = Vec::new();
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut tags: Vec<(usize, &str)> = Vec::new();
    for line in lines(files.text(PLAN)?) {
        let text = line.text.trim();
        let word = text.split([' ', '\t', '#']).next().unwrap_or_default();
        match text.chars().next() {
            None | Some('#' | '%') => {}
            // `@tag`, of the change above it.
            Some('@') => tags.push((changes.len(), word)),
            Some('-') => {
                let why =
                    "the plan takes a change back; remove both lines, or write the way back as a change";
                return Err(files.marker(PLAN, line.number, why));
            }
            Some(_) => {
                let name = word.strip_prefix('+').unwrap_or(word);
                let name = if name.is_empty() {
                    text[1..].split_whitespace().next().unwrap_or_default()
                } else {
                    name
                };
                let mut earlier = 0;
                if let Some(index) = latest.insert(name, changes.len()) {
                    earlier = changes[index].earlier + 1;
                    let between: Vec<_> =
                        tags.iter().filter(|(at, _)| *at > index).map(|(_, tag)| *tag).collect();
                    if between.is_empty() {
                        let why = format!(
                            "{} stands in the plan twice without a tag between; remove one, or tag the first",
                            name.escape_debug()
                        );
                        return Err(files.marker(PLAN, line.number, why));
                    }
                    changes[index].tags = Some(between);
                }
                changes.push(Change { name, line: line.number, earlier, tags: None });
            }
        }
    }
    Ok(changes)
}

impl Change<'_> {
    /// The name of its scripts' files. Of several tags the first counts for which there is one.
    fn file(&self, files: &Files<'_>) -> String {
        let tagged = |tag: &str| format!("{}{tag}.sql", self.name);
        let Some(tags) = &self.tags else { return format!("{}.sql", self.name) };
        let there =
            tags.iter().map(|tag| tagged(tag)).find(|file| files.get(&format!("deploy/{file}")).is_some());
        there.unwrap_or_else(|| tags.first().map(|tag| tagged(tag)).unwrap_or_default())
    }
}
