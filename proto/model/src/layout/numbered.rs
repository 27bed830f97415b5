//! Files that are one script each, numbered: golang-migrate, sqlx, popx (`.autocommit`), and no tool in particular.

use std::collections::BTreeMap;

use super::draft::{Draft, Part};
use super::error::LayoutError;
use super::files::Files;
use super::version::Version;
use crate::migration::{Layout, TransactionMode};

/// sqlx's, which has to be the very beginning of the file.
const NO_TRANSACTION: &str = "-- no-transaction";

/// What popx calls PostgreSQL, and what it calls the others.
const POSTGRESQL: [&str; 2] = ["postgres", "postgresql"];
const OTHER_DIALECTS: [&str; 7] =
    ["cockroach", "cockroachdb", "mysql", "mariadb", "sqlite", "sqlite3", "mssql"];

struct FileName<'a> {
    version: Version,
    /// What the files of a pair have in common.
    stem: &'a str,
    is_down: bool,
    autocommit: bool,
    dialect: Option<&'a str>,
}

/// What is known of one version. A script for PostgreSQL alone goes before one for every database.
#[derive(Default)]
struct Pair<'a> {
    up: Option<Found<'a>>,
    down: Option<Found<'a>>,
}

#[derive(Clone, Copy)]
struct Found<'a> {
    stem: &'a str,
    part: Part<'a>,
    for_postgresql: bool,
}

pub(super) fn read<'a>(
    files: &Files<'a>,
    layout: Layout,
    notes: &mut Vec<String>,
) -> Result<Vec<Draft<'a>>, LayoutError> {
    let mut pairs: BTreeMap<Version, Pair<'a>> = BTreeMap::new();
    let mut others = 0;
    for (path, content) in files.iter() {
        let Some(name) = FileName::parse(path, layout) else {
            files.pass_over(path, layout)?;
            continue;
        };
        if name.dialect.is_some_and(|dialect| OTHER_DIALECTS.contains(&dialect)) {
            others += 1;
            continue;
        }
        let part = Part::whole(path, content, name.transaction(layout, content));
        let found = Found { stem: name.stem, part, for_postgresql: name.dialect.is_some() };
        let pair = pairs.entry(name.version).or_default();
        let slot = if name.is_down { &mut pair.down } else { &mut pair.up };
        match slot {
            Some(other) if other.for_postgresql == found.for_postgresql => {
                return Err(files.duplicate(other.part.file, path));
            }
            Some(other) if other.for_postgresql => {}
            _ => *slot = Some(found),
        }
    }
    if others > 0 {
        notes.push(format!("files for other databases than PostgreSQL: {others}, passed over"));
    }
    pairs.into_values().map(|pair| pair.into_draft(files)).collect()
}

/// The layout that a file's name, and sqlx's mark in it, speak for.
pub(super) fn layout_of(path: &str, content: &[u8]) -> Option<Layout> {
    if FileName::parse(path, Layout::Autocommit).is_some_and(|name| name.autocommit) {
        return Some(Layout::Autocommit);
    }
    if has_no_transaction(content) && FileName::parse(path, Layout::Sqlx).is_some() {
        return Some(Layout::Sqlx);
    }
    [Layout::GolangMigrate, Layout::Plain].into_iter().find(|layout| FileName::parse(path, *layout).is_some())
}

impl<'a> Pair<'a> {
    fn into_draft(self, files: &Files<'_>) -> Result<Draft<'a>, LayoutError> {
        match (self.up, self.down) {
            (Some(up), down) => {
                Ok(Draft { name: up.stem.to_owned(), up: up.part, down: down.map(|down| down.part) })
            }
            (None, Some(down)) => Err(files.alone(down.part.file, &format!("{}.up.sql", down.stem))),
            (None, None) => Err(LayoutError::Empty { directory: files.directory.to_owned() }),
        }
    }
}

impl<'a> FileName<'a> {
    fn parse(path: &'a str, layout: Layout) -> Option<Self> {
        let name = path.strip_suffix(".sql").filter(|name| !name.contains('/'))?;
        let (name, direction) = match name.rsplit_once('.') {
            Some((name, "up")) => (name, Some(false)),
            Some((name, "down")) => (name, Some(true)),
            _ => (name, None),
        };
        if direction.is_none() && matches!(layout, Layout::GolangMigrate | Layout::Autocommit) {
            return None;
        }
        let version = match layout {
            Layout::Plain => Version::leading(name)?,
            _ => Version::parse(name.split_once('_')?.0, &[])?,
        };
        let mut parsed =
            Self { version, stem: name, is_down: direction == Some(true), autocommit: false, dialect: None };
        if layout == Layout::Autocommit {
            parsed.take_marks()?;
        }
        Some(parsed)
    }

    /// `NNN_x[.dialect][.autocommit]`
    fn take_marks(&mut self) -> Option<()> {
        if let Some(stem) = self.stem.strip_suffix(".autocommit") {
            (self.stem, self.autocommit) = (stem, true);
        }
        if let Some((stem, dialect)) = self.stem.split_once('.') {
            let known = POSTGRESQL.contains(&dialect) || OTHER_DIALECTS.contains(&dialect);
            (self.stem, self.dialect) = (stem, known.then_some(Some(dialect))?);
        }
        Some(())
    }

    fn transaction(&self, layout: Layout, content: &[u8]) -> TransactionMode {
        match layout {
            Layout::Sqlx if has_no_transaction(content) => TransactionMode::Never,
            _ if self.autocommit => TransactionMode::Never,
            _ => TransactionMode::Auto,
        }
    }
}

fn has_no_transaction(content: &[u8]) -> bool {
    content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content).starts_with(NO_TRANSACTION.as_bytes())
}
