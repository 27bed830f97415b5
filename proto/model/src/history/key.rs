//! What links a row to a migration: the version, as the row's tool reads it out of a file's name.

use std::collections::BTreeMap;

use super::{HistoryRow, Tool};
use crate::layout::version::Version;
use crate::migration::{Layout, Migration};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Version(Version),
    Text(String),
    /// A change by its name, and the how-manieth of that name: sqitch's may be reworked.
    Change(String, usize),
    /// Flyway's repeatable scripts, by their description.
    Repeatable(String),
}

/// The key of each row, in their order; None where the tool would not have written such a version.
pub(super) fn of_rows(tool: Tool, rows: &[&HistoryRow]) -> Vec<Option<Key>> {
    let mut seen = BTreeMap::new();
    let key = |row: &&HistoryRow| {
        let Some(version) = row.version.as_deref().filter(|version| !version.is_empty()) else {
            return row.name.clone().map(Key::Repeatable);
        };
        match tool {
            Tool::Flyway => Version::parse(version, &['.', '_']).map(Key::Version),
            Tool::Diesel => Some(Key::Text(version.replace('-', ""))),
            Tool::Sqitch => Some(nth(&mut seen, version)),
            _ => Version::parse(version, &[]).map(Key::Version),
        }
    };
    rows.iter().map(key).collect()
}

/// The key of each migration, in their order; None where the tool would not read such a name.
pub(super) fn of_migrations(tool: Tool, migrations: &[Migration]) -> Vec<Option<Key>> {
    let mut seen = BTreeMap::new();
    let key = |migration: &Migration| {
        let stem = stem(migration);
        match tool {
            Tool::Flyway => flyways(stem),
            Tool::Diesel => Some(Key::Text(stem.split('_').next()?.replace('-', ""))),
            Tool::Sqitch => Some(nth(&mut seen, stem)),
            _ => numbers(stem),
        }
    };
    migrations.iter().map(key).collect()
}

/// The name of a migration's file as its tool sees it: without directories, endings and tags.
pub(super) fn stem(migration: &Migration) -> &str {
    let Some(source) = &migration.manifest.source else { return migration.id.as_str() };
    let file = source.file.as_str();
    match source.layout {
        Layout::Diesel => file.split('/').next().unwrap_or(file),
        Layout::Sqitch => {
            let name = file.strip_prefix("deploy/").unwrap_or(file);
            let name = name.strip_suffix(".sql").unwrap_or(name);
            name.split('@').next().unwrap_or(name)
        }
        _ => file_stem(file),
    }
}

pub(super) fn file_stem(path: &str) -> &str {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let name = name.rsplit_once('.').map_or(name, |(name, _)| name);
    name.strip_suffix(".up").unwrap_or(name)
}

fn nth(seen: &mut BTreeMap<String, usize>, name: &str) -> Key {
    let count = seen.entry(name.to_owned()).or_default();
    *count += 1;
    Key::Change(name.to_owned(), *count)
}

fn numbers(stem: &str) -> Option<Key> {
    let digits = &stem[..stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len())];
    if digits.is_empty() { None } else { Version::parse(digits, &[]).map(Key::Version) }
}

fn flyways(stem: &str) -> Option<Key> {
    match stem.split_once("__") {
        Some(("R", description)) => Some(Key::Repeatable(description.replace('_', " "))),
        Some((prefix, _)) if prefix.starts_with('V') => {
            Version::parse(&prefix[1..], &['.', '_']).map(Key::Version)
        }
        // A directory that has left Flyway's names behind.
        _ => Version::leading(stem).map(Key::Version),
    }
}
