//! Which layout a directory has, by its files' names and the markers in them.

use std::collections::BTreeMap;

use super::error::LayoutError;
use super::files::{Files, is_sql, lines};
use super::{dbmate, diesel, flyway, goose, numbered};
use crate::migration::{FILE_NAMES, Layout};

/// Each layout that some file speaks for, with the first such file.
type Claims<'a> = BTreeMap<Layout, &'a str>;

pub(super) fn layout_of(files: &Files<'_>) -> Result<Layout, LayoutError> {
    let mut claims = Claims::new();
    let mut folders = Folders::default();
    for (path, content) in files.iter() {
        for layout in claims_of(path, content, &mut folders) {
            claims.entry(layout).or_insert(path);
        }
    }
    folders.claim(&mut claims);
    merge(&mut claims);
    let mut layouts = claims.keys();
    match (layouts.next(), layouts.next()) {
        (None, _) => Err(LayoutError::Empty { directory: files.directory.to_owned() }),
        (Some(layout), None) => Ok(*layout),
        _ => {
            let claims = claims.into_iter().map(|(layout, path)| (layout, files.shown(path))).collect();
            Err(LayoutError::Ambiguous { directory: files.directory.to_owned(), claims })
        }
    }
}

/// Layouts of which one includes the other don't contradict each other.
fn merge(claims: &mut Claims<'_>) {
    let mut absorb = |winner: Layout, losers: &[Layout]| {
        if claims.contains_key(&winner) {
            claims.retain(|layout, _| !losers.contains(layout));
        }
    };
    // One migration with a mark of theirs tells for all.
    absorb(Layout::Autocommit, &[Layout::GolangMigrate]);
    absorb(Layout::Sqlx, &[Layout::GolangMigrate]);
    // Up and down for some, and only up for others, is what sqlx reads.
    if claims.contains_key(&Layout::GolangMigrate) && claims.contains_key(&Layout::Plain) {
        let file = claims.remove(&Layout::GolangMigrate);
        claims.extend(file.map(|file| (Layout::Sqlx, file)));
    }
    // A numbered file says little by itself. Beside others it is a stray, and its reader says so.
    if claims.len() > 1 {
        claims.remove(&Layout::Plain);
    }
}

/// Directories with up.sql, which diesel's are and ours are; with nothing else in them both read the same.
#[derive(Default)]
struct Folders<'a> {
    any: Option<&'a str>,
    /// One that is named as diesel's command names them.
    diesels: Option<&'a str>,
}

impl<'a> Folders<'a> {
    fn found(&mut self, path: &'a str, directory: &str) {
        self.any.get_or_insert(path);
        if diesel::is_named_by_diesel(directory) {
            self.diesels.get_or_insert(path);
        }
    }

    fn claim(&self, claims: &mut Claims<'a>) {
        if claims.contains_key(&Layout::Diesel) || claims.contains_key(&Layout::NativeMany) {
            return;
        }
        match (self.diesels, self.any) {
            (Some(path), _) => claims.insert(Layout::Diesel, path),
            (None, Some(path)) => claims.insert(Layout::NativeMany, path),
            (None, None) => None,
        };
    }
}

fn claims_of<'a>(path: &'a str, content: &[u8], folders: &mut Folders<'a>) -> Vec<Layout> {
    if let Some((directory, file)) = path.split_once('/') {
        return match file {
            "metadata.toml" => vec![Layout::Diesel],
            "migration.toml" | "up.batch.sql" => vec![Layout::NativeMany],
            "up.sql" | "down.sql" => {
                folders.found(path, directory);
                Vec::new()
            }
            _ if flyway::is_flyways(path) => vec![Layout::Flyway],
            _ => Vec::new(),
        };
    }
    if path == "sqitch.plan" {
        return vec![Layout::Sqitch];
    }
    if FILE_NAMES.contains(&path) {
        return vec![Layout::Native];
    }
    if flyway::is_flyways(path) {
        return vec![Layout::Flyway];
    }
    if !is_sql(path) {
        return Vec::new();
    }
    let mut claims = marked(content);
    let by_name = numbered::layout_of(path, content);
    // A section marker explains a file that is simply numbered. In one of a pair it contradicts the name.
    let explained = !claims.is_empty() && matches!(by_name, Some(Layout::Plain | Layout::Sqlx));
    claims.extend(by_name.filter(|_| !explained));
    claims
}

fn marked(content: &[u8]) -> Vec<Layout> {
    let Ok(text) = std::str::from_utf8(content) else { return Vec::new() };
    let has = |is_marker: fn(&str) -> bool| lines(text).any(|line| is_marker(line.text));
    let mut claims = Vec::new();
    if has(goose::is_marker) {
        claims.push(Layout::Goose);
    }
    if has(dbmate::is_marker) {
        claims.push(Layout::Dbmate);
    }
    claims
}
