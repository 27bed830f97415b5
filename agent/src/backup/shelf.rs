//! What lies at a destination: the backups of a database by their manifests, and what only looks like one.

use std::io::Read as _;

use stopover_model::backup::{StoredBackup, UnreadableBackup};
use stopover_model::id::{BackupId, DatabaseName, EnvironmentName};
use stopover_model::report::{ErrorClass, StepError};

use super::manifest::Manifest;
use super::names::{MANIFEST, Names};
use crate::postgres::shown;
use crate::vault::{Bucket, Destination, regular_file};

/// A manifest is a page of text, and has a line for each table.
const LONGEST: u64 = 32 * 1024 * 1024;

/// What lies there of one database.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// The newest first.
    pub(crate) backups: Vec<Manifest>,
    pub(crate) unreadable: Vec<UnreadableBackup>,
}

impl Shelf {
    /// Looks through the manifests. Where there is no directory yet there is no backup.
    pub(crate) async fn of(
        destination: &Destination,
        environment: &EnvironmentName,
        database: &DatabaseName,
    ) -> Result<Self, StepError> {
        let mut shelf = Self::default();
        for name in names(destination).await? {
            let Some(stem) = name.strip_suffix(MANIFEST) else { continue };
            if !Names::is_of(environment, database, stem) {
                continue;
            }
            match read(destination, &name).await.and_then(|text| understood(&name, &text)) {
                Ok(manifest) if manifest.environment == *environment && manifest.database == *database => {
                    shelf.backups.push(manifest);
                }
                Ok(_) => {
                    shelf.leave(
                        destination,
                        &name,
                        "it is of another database than its name says".to_owned(),
                    );
                }
                Err(why) => shelf.leave(destination, &name, why),
            }
        }
        shelf.backups.sort_by(|a, b| (b.finished, &b.file).cmp(&(a.finished, &a.file)));
        Ok(shelf)
    }

    /// The backup of this id.
    pub(crate) fn take(self, id: &BackupId, destination: &Destination) -> Result<Manifest, StepError> {
        self.backups.into_iter().find(|manifest| manifest.id() == *id).ok_or_else(|| {
            let message = format!("there is no backup {id} in {}", destination.location(""));
            StepError::new(ErrorClass::Setup, message).with_hint(
                "`stopover backup list` shows what there is; old ones are removed as agent.toml says",
            )
        })
    }

    fn leave(&mut self, destination: &Destination, name: &str, why: String) {
        self.unreadable.push(UnreadableBackup { location: shown(&destination.location(name), 500), why });
    }
}

/// What others get to know of a backup.
pub(crate) fn stored(destination: &Destination, manifest: Manifest) -> StoredBackup {
    use base64::Engine as _;
    let header = manifest.header.as_ref();
    let header = header.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    StoredBackup {
        id: manifest.id(),
        location: destination.location(&manifest.file),
        environment: manifest.environment,
        database: manifest.database,
        agent: manifest.agent,
        deployment: manifest.deployment,
        attempt: manifest.attempt,
        database_name: manifest.database_name,
        server_version: manifest.server_version,
        level: manifest.level,
        bytes: manifest.bytes,
        sha256: manifest.sha256,
        dump_bytes: manifest.dump_bytes,
        database_bytes: manifest.database_bytes,
        recipients: manifest.recipients,
        header: header.unwrap_or_default(),
        started: manifest.started,
        finished: manifest.finished,
        restore_command: manifest.restore_command,
    }
}

async fn names(destination: &Destination) -> Result<Vec<String>, StepError> {
    let directory = match destination {
        Destination::Bucket(bucket) => return listed(bucket).await,
        Destination::Directory(directory) => directory,
    };
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(|error| {
            let message = format!("could not look through {}: {error}", directory.display());
            StepError::new(ErrorClass::Setup, message).with_hint("let the agent's user read it")
        })?,
    };
    let mut names: Vec<String> =
        entries.into_iter().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

async fn listed(bucket: &Bucket) -> Result<Vec<String>, StepError> {
    Ok(bucket.names().await?.into_iter().map(|(name, _)| name).collect())
}

async fn read(destination: &Destination, name: &str) -> Result<Vec<u8>, String> {
    match destination {
        Destination::Bucket(bucket) => {
            let found = bucket.read(name, LONGEST).await.map_err(|error| error.to_string())?;
            Ok(found.ok_or("it has just gone")?.to_vec())
        }
        Destination::Directory(directory) => {
            let file = regular_file(&directory.join(name)).map_err(|error| error.to_string())?;
            let mut text = Vec::new();
            let read = file.take(LONGEST + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
            if read as u64 > LONGEST {
                return Err("it is longer than a manifest can be".to_owned());
            }
            Ok(text)
        }
    }
}

fn understood(name: &str, text: &[u8]) -> Result<Manifest, String> {
    let manifest: Manifest =
        serde_json::from_slice(text).map_err(|error| format!("it is no manifest: {error}"))?;
    manifest.check(name)?;
    Ok(manifest)
}
