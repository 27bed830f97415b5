//! Reads a migration's directory. What the files mean is the model's affair; errors here name paths.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use stopover_model::id::MigrationId;
use stopover_model::migration::{FILE_NAMES, Migration, MigrationError};

use crate::failure::Failure;

/// Far above any migration written by a person, and below what the server takes.
const LARGEST_FILE: u64 = 2 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("could not read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a directory")]
    NotADirectory { path: PathBuf },
    #[error("{path} has no name of its own that could be the migration's")]
    NoName { path: PathBuf },
    #[error("{path} can't be a migration's directory")]
    Name { path: PathBuf, source: stopover_model::id::InvalidId },
    #[error("{path} is not a regular file")]
    NotAFile { path: PathBuf },
    #[error("{path} is larger than {} MiB", LARGEST_FILE / 1024 / 1024)]
    TooLarge { path: PathBuf },
    #[error("{path} is not a file of a migration")]
    UnknownFile { path: PathBuf },
    #[error("{0}")]
    Migration(String),
    #[error("{path} is given twice")]
    Twice { path: PathBuf },
}

/// Reads migrations in the order given, all or none.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Migration>, DirectoryError> {
    let mut migrations: Vec<Migration> = Vec::new();
    for path in paths {
        let migration = read(path)?;
        if migrations.iter().any(|m| m.id == migration.id) {
            return Err(DirectoryError::Twice { path: path.clone() });
        }
        migrations.push(migration);
    }
    Ok(migrations)
}

/// Reads one migration's directory. Hidden files and editors' backups are passed over; any other file is an error,
/// because a misspelt `down.sq` would be missed only when it is needed.
pub fn read(path: &Path) -> Result<Migration, DirectoryError> {
    let failed = |source| DirectoryError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Err(DirectoryError::NotADirectory { path: path.to_owned() });
    }
    // `.` and `..` have a name only once they are resolved.
    let resolved = path.canonicalize().map_err(failed)?;
    let name = resolved.file_name().ok_or_else(|| DirectoryError::NoName { path: path.to_owned() })?;
    let id: MigrationId = name
        .to_string_lossy()
        .parse()
        .map_err(|source| DirectoryError::Name { path: path.to_owned(), source })?;
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let file = path.join(&name);
        match name.to_str() {
            Some(name) if is_passed_over(name) => {}
            Some(name) if FILE_NAMES.contains(&name) => {
                files.insert(name.to_owned(), read_file(&file)?);
            }
            _ => return Err(DirectoryError::UnknownFile { path: file }),
        }
    }
    let name = id.to_string();
    Migration::parse(id, files).map_err(|error| DirectoryError::Migration(with_path(path, &name, &error)))
}

/// The model knows the migration by its name, people by where it lies: every message begins with that.
fn with_path(path: &Path, name: &str, error: &MigrationError) -> String {
    let message = error.to_string();
    match message.strip_prefix(name) {
        Some(rest) => format!("{}{rest}", path.display().to_string().trim_end_matches('/')),
        None => message,
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, DirectoryError> {
    let failed = |source| DirectoryError::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(DirectoryError::NotAFile { path: path.to_owned() });
    }
    if metadata.len() > LARGEST_FILE {
        return Err(DirectoryError::TooLarge { path: path.to_owned() });
    }
    fs::read(path).map_err(failed)
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

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        let failure = Self::usage("").because(&error);
        match error {
            DirectoryError::NotADirectory { .. } => failure.with_hint("give the directory that holds up.sql"),
            DirectoryError::UnknownFile { .. } => failure.with_hint(format!(
                "a migration may hold {}; hidden files and editors' backups are passed over",
                FILE_NAMES.join(", ")
            )),
            DirectoryError::TooLarge { .. } => {
                failure.with_hint("load data in another way, and keep migrations to the schema")
            }
            DirectoryError::NoName { .. } => {
                failure.with_hint("put the files into a directory named after the migration")
            }
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::line::text;

    fn directory(files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("001_x");
        fs::create_dir(&path).unwrap();
        for (name, text) in files {
            fs::write(path.join(name), text).unwrap();
        }
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
        assert!(
            error(&[]).starts_with("error: m/001_x has no up.sql; a migration is a directory"),
            "{}",
            error(&[])
        );
        assert!(error(&[("up.sql", "")]).starts_with("error: m/001_x/up.sql: the file holds no statement"));
        let toml = error(&[("up.sql", "SELECT 1"), ("migration.toml", "\ntabel = 1")]);
        assert!(toml.starts_with("error: m/001_x/migration.toml:2:1: unknown field `tabel`"), "{toml}");
        insta::assert_snapshot!(error(&[("up.sql", "SELECT 1"), ("Down.sql", "")]), @r#"
        error: m/001_x/Down.sql is not a file of a migration
        hint: a migration may hold migration.toml, up.sql, up.batch.sql, down.sql; hidden files and editors' backups are passed over
        "#);
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
        assert!(matches!(read(&bad), Err(DirectoryError::Name { .. })));
    }

    #[test]
    fn the_same_migration_twice_is_a_mistake() {
        let (_parent, path) = directory(&[("up.sql", "SELECT 1")]);
        let twice = read_all(&[path.clone(), path.join("../001_x")]).unwrap_err();
        assert!(matches!(twice, DirectoryError::Twice { .. }));
    }
}
