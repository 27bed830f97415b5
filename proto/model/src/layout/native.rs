//! Our own layout: one directory a migration.

use std::collections::BTreeMap;

use super::error::LayoutError;
use super::files::Files;
use super::version::Version;
use crate::migration::{FILE_NAMES, Layout, Migration};

type Content = BTreeMap<String, Vec<u8>>;

pub(super) fn read_one(files: &Files<'_>) -> Result<Migration, LayoutError> {
    let parts = files.directory.rsplit_once('/');
    let name = parts.map_or(files.directory, |(_, name)| name);
    let id = name.parse().map_err(|source| LayoutError::Name { path: files.directory.to_owned(), source })?;
    let content = files.iter().map(|(path, content)| (path.to_owned(), content.to_vec())).collect();
    Migration::parse(id, content).map_err(|error| match parts {
        Some((directory, _)) => LayoutError::Inside { directory: directory.to_owned(), error },
        None => error.into(),
    })
}

/// In the order of their numbers when all have one, else in the order of their names.
pub(super) fn read_many(files: &Files<'_>) -> Result<Vec<Migration>, LayoutError> {
    let mut directories: Vec<_> = directories(files)?.into_iter().collect();
    let versions: Option<Vec<_>> = directories.iter().map(|(name, _)| Version::leading(name)).collect();
    if let Some(versions) = versions {
        let mut numbered: Vec<_> = versions.into_iter().zip(directories).collect();
        numbered.sort_by(|(a, _), (b, _)| a.cmp(b));
        for pair in numbered.windows(2) {
            if let [(a, (first, _)), (b, (second, _))] = pair
                && a == b
            {
                return Err(files.duplicate(first, second));
            }
        }
        directories = numbered.into_iter().map(|(_, directory)| directory).collect();
    }
    if directories.is_empty() {
        return Err(LayoutError::Empty { directory: files.directory.to_owned() });
    }
    directories
        .into_iter()
        .map(|(name, content)| {
            let id = name.parse().map_err(|source| LayoutError::Name { path: files.shown(name), source })?;
            Migration::parse(id, content)
                .map_err(|error| LayoutError::Inside { directory: files.directory.to_owned(), error })
        })
        .collect()
}

fn directories<'a>(files: &Files<'a>) -> Result<BTreeMap<&'a str, Content>, LayoutError> {
    let mut found: BTreeMap<&str, Content> = BTreeMap::new();
    for (path, content) in files.iter() {
        match path.split_once('/') {
            Some((directory, name)) if FILE_NAMES.contains(&name) => {
                found.entry(directory).or_default().insert(name.to_owned(), content.to_vec());
            }
            _ => {}
        }
    }
    for (path, _) in files.iter() {
        match path.split_once('/') {
            Some((_, name)) if FILE_NAMES.contains(&name) => {}
            // In a migration of ours a name that isn't known is a misspelt one.
            Some((directory, _)) if found.contains_key(directory) => {
                return Err(files.stray(path, Layout::NativeMany));
            }
            _ => files.pass_over(path, Layout::NativeMany)?,
        }
    }
    Ok(found)
}
