//! Reads migrations' directories. What the files mean is the model's affair; errors here name paths.

mod tree;

use std::fs;
use std::path::{Component, Path, PathBuf};

use stopover_model::layout::{self, Directory, Layout, LayoutError};
use stopover_model::migration::Migration;

use crate::failure::Failure;

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a directory")]
    NotADirectory { path: PathBuf },
    #[error("{path} is not a regular file")]
    NotAFile { path: PathBuf },
    #[error("{path} is larger than {} MiB", tree::LARGEST_FILE / 1024 / 1024)]
    TooLarge { path: PathBuf },
    #[error("{path} lies deeper than {} directories", tree::DEEPEST)]
    TooDeep { path: PathBuf },
    #[error("there are more than {} files in {path}", tree::MOST_FILES)]
    TooMany { path: PathBuf },
    #[error("{path} is not a file of a migration")]
    UnknownFile { path: PathBuf },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("{path} is given twice")]
    Twice { path: PathBuf },
    #[error("{id} is in {path} and in another directory")]
    TwiceInside { id: String, path: PathBuf },
}

/// What was read.
#[derive(Debug)]
pub struct Found {
    pub migrations: Vec<Migration>,
    /// For people: which layout each directory has, and what was passed over in it.
    pub notes: Vec<String>,
}

/// Reads directories in the order given, all or none. Each holds one migration, or many in some layout.
pub fn read_all(paths: &[PathBuf], forced: Option<Layout>) -> Result<Found, DirectoryError> {
    let mut found = Found { migrations: Vec::new(), notes: Vec::new() };
    for (number, path) in (1..).zip(paths) {
        let directory = read_directory(path, forced)?;
        let of = if paths.len() > 1 { format!(" of {}", path.display()) } else { String::new() };
        if directory.layout != Layout::Native || forced.is_some() {
            let count = directory.migrations.len();
            let s = if count == 1 { "" } else { "s" };
            found.notes.push(format!("layout{of}: {}, {count} migration{s}", directory.layout));
        }
        found.notes.extend(directory.notes);
        for migration in directory.migrations {
            if found.migrations.iter().any(|m| m.id == migration.id) {
                let (id, path) = (migration.id.to_string(), path.clone());
                return Err(match directory.layout {
                    Layout::Native => DirectoryError::Twice { path },
                    _ => DirectoryError::TwiceInside { id, path },
                });
            }
            // Migrations that are given one by one are one series, as a directory of many is.
            let series = if directory.layout == Layout::Native { 0 } else { number };
            found.migrations.push(migration.in_series(series));
        }
    }
    Ok(found)
}

/// Reads the directory of one migration.
pub fn read(path: &Path) -> Result<Migration, DirectoryError> {
    let mut directory = read_directory(path, Some(Layout::Native))?;
    let empty = || LayoutError::Empty { directory: path.display().to_string() };
    Ok(directory.migrations.pop().ok_or_else(empty)?)
}

/// Reads one directory, of one migration or of many.
pub fn read_directory(path: &Path, forced: Option<Layout>) -> Result<Directory, DirectoryError> {
    let failed = |source| DirectoryError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Err(DirectoryError::NotADirectory { path: path.to_owned() });
    }
    // `.` and `..` have a name only once they are resolved.
    let named = matches!(path.components().next_back(), Some(Component::Normal(_)));
    let shown = if named { path.to_owned() } else { path.canonicalize().map_err(failed)? };
    let shown = shown.to_string_lossy();
    Ok(layout::read(shown.trim_end_matches('/'), &tree::read(path)?, forced)?)
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        let failure = Self::usage("").because(&error);
        match error {
            DirectoryError::NotADirectory { .. } => {
                failure.with_hint("give the directory that holds up.sql, or one that holds many migrations")
            }
            DirectoryError::UnknownFile { .. } => {
                failure.with_hint("give it a name in UTF-8, or move it elsewhere")
            }
            DirectoryError::TooLarge { .. } => {
                failure.with_hint("load data in another way, and keep migrations to the schema")
            }
            DirectoryError::TooDeep { .. } | DirectoryError::TooMany { .. } => {
                failure.with_hint("give the directory that holds the migrations, and nothing else")
            }
            DirectoryError::TwiceInside { .. } => {
                failure.with_hint("give one directory, or rename the migration in one of them")
            }
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::line::text;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn directory(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("001_x");
        fs::create_dir(&path).unwrap();
        write(&path, files);
        (parent, path)
    }

    fn error(files: &[(&str, &str)]) -> String {
        let (_parent, path) = directory(files);
        let failure = Failure::from(read(&path).unwrap_err());
        text(&failure.lines()).replace(&path.display().to_string(), "m/001_x")
    }

    #[test]
    fn hidden_files_and_backups_are_passed_over() {
        let files = ["up.sql", ".gitkeep", ".up.sql.swp", "up.sql~", "#up.sql#", "down.sql.orig", "up.bak"];
        let (_parent, path) = directory(&files.map(|name| (name, "SELECT 1")));
        let migration = read(&path).unwrap();
        assert_eq!(migration.id.as_str(), "001_x");
        assert_eq!(migration.files().keys().collect::<Vec<_>>(), ["up.sql"]);
    }

    #[test]
    fn errors_name_the_path() {
        let none = error(&[("down.sql", "SELECT 1")]);
        assert!(none.starts_with("error: m/001_x has no up.sql; a migration is a directory"), "{none}");
        assert!(error(&[("up.sql", "")]).starts_with("error: m/001_x/up.sql: the file holds no statement"));
        let toml = error(&[("up.sql", "SELECT 1"), ("migration.toml", "\ntabel = 1")]);
        assert!(toml.starts_with("error: m/001_x/migration.toml:2:1: unknown field `tabel`"), "{toml}");
        let stray = error(&[("up.sql", "SELECT 1"), ("Down.sql", "")]);
        assert!(
            stray.starts_with("error: m/001_x/Down.sql is not a file of a migration: it may hold"),
            "{stray}"
        );
    }

    #[test]
    fn what_is_not_a_migrations_directory_is_said_so() {
        let (parent, path) = directory(&[("up.sql", "SELECT 1")]);
        assert!(matches!(read(&path.join("up.sql")), Err(DirectoryError::NotADirectory { .. })));
        assert!(matches!(read(&path.join("absent")), Err(DirectoryError::Read { .. })));
        fs::create_dir(path.join("down.sql")).unwrap();
        assert!(matches!(read(&path), Err(DirectoryError::NotAFile { .. })));
        let bad = parent.path().join("-rf");
        fs::create_dir(&bad).unwrap();
        fs::write(bad.join("up.sql"), "SELECT 1").unwrap();
        assert!(matches!(read(&bad), Err(DirectoryError::Layout(LayoutError::Name { .. }))));
    }

    #[test]
    fn the_same_migration_twice_is_a_mistake() {
        let (_parent, path) = directory(&[("up.sql", "SELECT 1")]);
        let twice = read_all(&[path.clone(), path.join("../001_x")], None).unwrap_err();
        assert!(matches!(twice, DirectoryError::Twice { .. }));
    }

    #[test]
    fn a_directory_of_many_says_its_layout() {
        let parent = tempfile::tempdir().unwrap();
        let (one, other) = (parent.path().join("one"), parent.path().join("other"));
        let up = "-- +goose Up\nSELECT 1;";
        write(&one, &[("1_a.sql", up), ("2_b.sql", up), (".git/x.sql", "no"), ("embed.go", "package m")]);
        write(&other, &[("3_c/up.sql", "SELECT 1")]);
        let found = read_all(std::slice::from_ref(&one), None).unwrap();
        assert_eq!(found.notes, ["layout: goose, 2 migrations"]);
        let found = read_all(&[one.clone(), other.clone()], None).unwrap();
        let ids: Vec<_> = found.migrations.iter().map(|m| m.id.as_str()).collect();
        assert_eq!(ids, ["1_a", "2_b", "3_c"]);
        let series: Vec<_> = found.migrations.iter().map(|m| m.series).collect();
        assert_eq!(series, [1, 1, 2]);
        assert_eq!(found.notes[1], format!("layout of {}: native-many, 1 migration", other.display()));
        let twice = read_all(&[one.clone(), one], None).unwrap_err();
        assert!(matches!(twice, DirectoryError::TwiceInside { .. }));
    }

    #[test]
    fn what_can_only_be_another_directory_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let deep = "d/".repeat(tree::DEEPEST + 1);
        write(parent.path(), &[(&format!("{deep}x.sql"), "")]);
        assert!(matches!(read(parent.path()), Err(DirectoryError::TooDeep { .. })));
    }
}
