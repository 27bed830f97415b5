//! Reads the files below a directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use stopover_model::layout;

use super::DirectoryError;

/// Above any migration written by a person, COPY data included, and below the 16 MiB that the server takes at once.
pub(super) const LARGEST_FILE: u64 = 12 * 1024 * 1024;
/// Somebody who gives more means another directory.
pub(super) const MOST_FILES: usize = 20_000;
pub(super) const DEEPEST: usize = 8;

/// The files by their paths below `root`. Hidden files and editors' backups are passed over; files whose content says
/// nothing come without it.
pub(super) fn read(root: &Path) -> Result<BTreeMap<String, Vec<u8>>, DirectoryError> {
    let mut files = BTreeMap::new();
    let mut directories = vec![(root.to_owned(), String::new(), 0)];
    while let Some((directory, prefix, depth)) = directories.pop() {
        let failed = |source| DirectoryError::Read { path: directory.clone(), source };
        for entry in fs::read_dir(&directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let path = directory.join(&name);
            let Some(name) = name.to_str() else {
                return Err(DirectoryError::UnknownFile { path });
            };
            if is_passed_over(name) {
                continue;
            }
            let relative = format!("{prefix}{name}");
            let metadata =
                fs::metadata(&path).map_err(|source| DirectoryError::Read { path: path.clone(), source })?;
            if metadata.is_dir() && !layout::is_read(name) {
                if depth == DEEPEST {
                    return Err(DirectoryError::TooDeep { path });
                }
                directories.push((path, format!("{relative}/"), depth + 1));
                continue;
            }
            if files.len() == MOST_FILES {
                return Err(DirectoryError::TooMany { path: root.to_owned() });
            }
            files.insert(relative, read_file(&path, name, &metadata)?);
        }
    }
    Ok(files)
}

fn read_file(path: &Path, name: &str, metadata: &fs::Metadata) -> Result<Vec<u8>, DirectoryError> {
    if !layout::is_read(name) {
        return Ok(Vec::new());
    }
    if !metadata.is_file() {
        return Err(DirectoryError::NotAFile { path: path.to_owned() });
    }
    if metadata.len() > LARGEST_FILE {
        return Err(DirectoryError::TooLarge { path: path.to_owned() });
    }
    fs::read(path).map_err(|source| DirectoryError::Read { path: path.to_owned(), source })
}

/// `.gitkeep`, `.up.sql.swp`, `up.sql~`, `#up.sql#`, `up.sql.orig`: nobody means them to run.
fn is_passed_over(name: &str) -> bool {
    let ends = |end| Path::new(name).extension().is_some_and(|extension| extension == end);
    name.starts_with('.')
        || name.ends_with('~')
        || (name.starts_with('#') && name.ends_with('#'))
        || ends("orig")
        || ends("bak")
}
