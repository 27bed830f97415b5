//! diesel: a directory a migration, ordered by the text before the first `_`, dashes left out.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::draft::{Draft, Part};
use super::error::LayoutError;
use super::files::{Files, is_sql};
use crate::config;
use crate::migration::{Layout, TransactionMode};

#[derive(Default)]
struct Folder<'a> {
    up: Option<(&'a str, &'a [u8])>,
    down: Option<(&'a str, &'a [u8])>,
    metadata: Option<&'a str>,
}

/// metadata.toml. A file that does not name the key turns the transaction off: so diesel reads it.
#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    run_in_transaction: bool,
}

pub(super) fn read<'a>(files: &Files<'a>) -> Result<Vec<Draft<'a>>, LayoutError> {
    let mut versions: BTreeMap<String, &str> = BTreeMap::new();
    let mut drafts = BTreeMap::new();
    for (directory, folder) in folders(files)? {
        let version = directory.split('_').next().unwrap_or_default().replace('-', "");
        if let Some(first) = versions.insert(version.clone(), directory) {
            return Err(files.duplicate(first, directory));
        }
        drafts.insert(version, folder.into_draft(files, directory)?);
    }
    Ok(drafts.into_values().collect())
}

/// `2024-05-01-120000-0000_x`, `2024-05-01-120000_x` of older versions, and `00000000000000_diesel_initial_setup`.
pub(super) fn is_named_by_diesel(directory: &str) -> bool {
    let Some((version, _)) = directory.split_once('_') else { return false };
    let groups: Vec<&str> = version.split('-').collect();
    let (time, counter) = match groups[..] {
        [ref time @ .., counter] if time.len() == 4 => (time, Some(counter)),
        _ => (&groups[..], None),
    };
    let digits: usize = time.iter().map(|group| group.len()).sum();
    digits == 14
        && (time.len() == 1 || time.len() == 4)
        && time.iter().all(|group| group.bytes().all(|b| b.is_ascii_digit()))
        // Of several in one second, in hexadecimal.
        && counter.is_none_or(|c| c.len() == 4 && c.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn folders<'a>(files: &Files<'a>) -> Result<BTreeMap<&'a str, Folder<'a>>, LayoutError> {
    let mut found: BTreeMap<&str, Folder<'a>> = BTreeMap::new();
    for (path, content) in files.iter() {
        match path.split_once('/') {
            Some((directory, "up.sql")) => found.entry(directory).or_default().up = Some((path, content)),
            Some((directory, "down.sql")) => found.entry(directory).or_default().down = Some((path, content)),
            Some((directory, "metadata.toml")) => found.entry(directory).or_default().metadata = Some(path),
            // Below a directory a number says nothing any more, and a misspelt metadata.toml would be missed.
            Some((_, file))
                if is_sql(file) || file.rsplit_once('.').is_some_and(|(_, end)| end == "toml") =>
            {
                return Err(files.stray(path, Layout::Diesel));
            }
            Some(_) => {}
            None => files.pass_over(path, Layout::Diesel)?,
        }
    }
    Ok(found)
}

impl<'a> Folder<'a> {
    fn into_draft(self, files: &Files<'a>, directory: &str) -> Result<Draft<'a>, LayoutError> {
        let transaction = self.metadata.map_or(Ok(TransactionMode::Auto), |path| metadata(files, path))?;
        let Some((path, content)) = self.up else {
            let alone = self.down.map(|(path, _)| path).or(self.metadata).unwrap_or(directory);
            return Err(files.alone(alone, &format!("{directory}/up.sql")));
        };
        let down = self.down.map(|(path, content)| Part::whole(path, content, transaction));
        Ok(Draft { name: directory.to_owned(), up: Part::whole(path, content, transaction), down })
    }
}

fn metadata(files: &Files<'_>, path: &str) -> Result<TransactionMode, LayoutError> {
    let text = files.text(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let metadata: Metadata = config::parse(&files.shown(path), text)?;
    Ok(if metadata.run_in_transaction { TransactionMode::Auto } else { TransactionMode::Never })
}
