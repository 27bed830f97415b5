//! A migration's files, checked together, and their digest.

use std::collections::BTreeMap;

use super::manifest::Manifest;
use super::script::{Reading, Script, ScriptError};
use super::source::TransactionMode;
use crate::config::ConfigError;
use crate::digest::{Digest, Digester};
use crate::id::MigrationId;

const UP: &str = "up.sql";
const BATCH: &str = "up.batch.sql";
const DOWN: &str = "down.sql";
const MANIFEST: &str = "migration.toml";

/// The files that a migration's directory may hold; up.sql must be there.
pub const FILE_NAMES: [&str; 4] = [MANIFEST, UP, BATCH, DOWN];

/// A migration, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Migration {
    pub id: MigrationId,
    pub manifest: Manifest,
    pub up: Script,
    /// The variant for large tables.
    pub batch: Option<Script>,
    pub down: Option<Script>,
    /// Over the files' names and bytes.
    pub digest: Digest,
    /// Those of one series follow one another as they are given. No part of the content.
    pub series: u32,
    files: BTreeMap<String, Vec<u8>>,
}

/// What is wrong with a migration's files.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error(
        "{migration} has no up.sql; a migration is a directory with up.sql, and optionally up.batch.sql, down.sql and migration.toml"
    )]
    NoUp { migration: MigrationId },
    /// `file` is `001_x/up.sql`, or the file that another tool reads.
    #[error("{file}: {error}")]
    Script { migration: MigrationId, file: String, error: ScriptError },
    #[error(transparent)]
    Manifest(#[from] ConfigError),
    #[error("{migration}/migration.toml is not valid UTF-8; save the file as UTF-8")]
    ManifestEncoding { migration: MigrationId },
    #[error("{migration}/{} is not a file of a migration: it may hold {}", file.escape_debug(), FILE_NAMES.join(", "))]
    UnknownFile { migration: MigrationId, file: String },
    #[error("{migration}/migration.toml: batch_above_rows is set, and there is no up.batch.sql to run")]
    NoBatch { migration: MigrationId },
    #[error(
        "{migration}/migration.toml: up.batch.sql is there, and nothing says when to use it: set table and batch_above_rows"
    )]
    BatchNeverUsed { migration: MigrationId },
}

impl Migration {
    /// Checks the files of one migration: file name to contents.
    pub fn parse(id: MigrationId, files: BTreeMap<String, Vec<u8>>) -> Result<Self, MigrationError> {
        if let Some(file) = files.keys().find(|name| !FILE_NAMES.contains(&name.as_str())) {
            return Err(MigrationError::UnknownFile { migration: id, file: file.clone() });
        }
        let manifest = manifest_of(&id, files.get(MANIFEST))?;
        let script = |file: &'static str| -> Result<Option<Script>, MigrationError> {
            files
                .get(file)
                .map(|bytes| Script::parse_as(bytes, reading_of(&manifest, file)))
                .transpose()
                .map_err(|error| {
                    let file = manifest.file_name(&id, file);
                    MigrationError::Script { migration: id.clone(), file, error }
                })
        };
        let up = script(UP)?.ok_or_else(|| MigrationError::NoUp { migration: id.clone() })?;
        let (batch, down) = (script(BATCH)?, script(DOWN)?);
        match (manifest.batch_above_rows, &batch) {
            (Some(_), None) => return Err(MigrationError::NoBatch { migration: id }),
            (None, Some(_)) => return Err(MigrationError::BatchNeverUsed { migration: id }),
            _ => {}
        }
        let digest = digest_of(&id, &manifest, &files);
        Ok(Self { id, manifest, up, batch, down, digest, series: 0, files })
    }

    /// The same, as one of that series.
    #[must_use]
    pub fn in_series(mut self, series: u32) -> Self {
        self.series = series;
        self
    }

    /// The files as they were given: what travels and what the digest is over.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// What people know one of [`FILE_NAMES`] by: `001_x/up.sql`, or the file that another tool reads.
    #[must_use]
    pub fn file_name(&self, file: &str) -> String {
        self.manifest.file_name(&self.id, file)
    }
}

fn reading_of(manifest: &Manifest, file: &str) -> Reading {
    let source = manifest.source.as_ref();
    let (transaction, first_line) = match file {
        DOWN => (manifest.down_transaction, source.and_then(|s| s.down.as_ref()).map(|down| down.first_line)),
        _ => (manifest.transaction, source.map(|s| s.first_line)),
    };
    // Other tools take a file without a statement, and people have such files.
    Reading { first_line: first_line.unwrap_or(1), transaction, must_do_something: source.is_none() }
}

fn manifest_of(id: &MigrationId, bytes: Option<&Vec<u8>>) -> Result<Manifest, MigrationError> {
    let Some(bytes) = bytes else {
        return Ok(Manifest::default());
    };
    let text =
        std::str::from_utf8(bytes).map_err(|_| MigrationError::ManifestEncoding { migration: id.clone() })?;
    Ok(Manifest::parse(&format!("{id}/{MANIFEST}"), text)?)
}

/// Of a script that was found in another tool's directory the digest is over what it does, not over where it was found:
/// the directory may come to be taken for another layout's, and the script may move in its file.
fn digest_of(id: &MigrationId, manifest: &Manifest, files: &BTreeMap<String, Vec<u8>>) -> Digest {
    let mut digester = Digester::new("stopover migration v1");
    digester.part("id", id.as_str().as_bytes());
    let generated = manifest.source.is_some();
    for (name, content) in files.iter().filter(|(name, _)| !generated || *name != MANIFEST) {
        digester.part(name, content);
    }
    let modes = [("transaction", manifest.transaction), ("down_transaction", manifest.down_transaction)];
    for (name, mode) in modes {
        if generated && mode == TransactionMode::Never {
            digester.part(name, b"never");
        }
    }
    digester.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(files: &[(&str, &str)]) -> Result<Migration, String> {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
        Migration::parse("001_x".parse().unwrap(), files).map_err(|e| e.to_string())
    }

    #[test]
    fn up_alone_is_a_migration() {
        let migration = parse(&[("up.sql", "SELECT 1")]).unwrap();
        assert_eq!((migration.batch, migration.down), (None, None));
    }

    #[test]
    fn errors_name_the_file() {
        assert!(parse(&[]).unwrap_err().starts_with("001_x has no up.sql"));
        assert!(
            parse(&[("up.sql", " ")]).unwrap_err().starts_with("001_x/up.sql: the file holds no statement")
        );
        assert!(
            parse(&[("up.sql", "SELECT 1"), ("Down.sql", "")]).unwrap_err().contains("001_x/Down.sql is not")
        );
        let batch = [("up.sql", "SELECT 1"), ("up.batch.sql", "SELECT 1")];
        assert!(parse(&batch).unwrap_err().contains("nothing says when to use it"));
        let toml = [("up.sql", "SELECT 1"), ("migration.toml", "tabel = 1")];
        assert!(parse(&toml).unwrap_err().starts_with("001_x/migration.toml:1:1: unknown field `tabel`"));
    }

    #[test]
    fn any_changed_byte_changes_the_digest() {
        let one = parse(&[("up.sql", "SELECT 1")]).unwrap().digest;
        assert_eq!(one, parse(&[("up.sql", "SELECT 1")]).unwrap().digest);
        assert_ne!(one, parse(&[("up.sql", "SELECT 1 ")]).unwrap().digest);
        assert_ne!(one, parse(&[("up.sql", "SELECT 1"), ("down.sql", "SELECT 1")]).unwrap().digest);
    }

    #[test]
    fn where_a_script_was_found_is_no_part_of_the_digest_but_names_its_errors() {
        let found = |up: &str, toml: &str| parse(&[("up.sql", up), ("migration.toml", toml)]);
        let goose = "[source]\nlayout = \"goose\"\nfile = \"1_x.sql\"\nfirst_line = 3\n";
        let one = parse(&[("up.sql", "SELECT 1")]).unwrap().digest;
        assert_eq!(found("SELECT 1", goose).unwrap().digest, one);
        assert_ne!(found("SELECT 1", &format!("transaction = \"never\"\n{goose}")).unwrap().digest, one);
        assert_ne!(found("SELECT 1", "transaction = \"never\"").unwrap().digest, one);
        assert!(found("-- nothing", goose).is_ok());
        assert!(found("\nCOMMIT", goose).unwrap_err().starts_with("1_x.sql: line 4: COMMIT without"));
    }
}
