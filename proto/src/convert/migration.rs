//! Migrations: their files, and what a deployment carries of them.

use std::collections::BTreeMap;

use stopover_model::migration::{
    Manifest, Migration, MigrationError, Rerun, ScriptSummary, Source, SourcePlace, StatementSummary,
    TransactionMode, UnknownLayout,
};
use stopover_model::plan::MigrationSummary;

use super::error::{AtField, InvalidWire};
use super::field::{
    digest, from_one, message, messages, name, optional_from_one, optional_message, optional_text, plain,
};
use crate::v1;

/// Why a [`v1::MigrationBundle`] is not a migration.
#[derive(Debug, thiserror::Error)]
pub enum InvalidBundle {
    #[error(transparent)]
    Wire(#[from] InvalidWire),
    /// What is wrong with the files themselves, for the one who wrote them.
    #[error(transparent)]
    Migration(#[from] MigrationError),
}

impl AtField for InvalidBundle {
    /// An error in a file names the migration and the file already.
    fn at_field(self, field: &str) -> Self {
        match self {
            Self::Wire(error) => Self::Wire(error.at_field(field)),
            Self::Migration(error) => Self::Migration(error),
        }
    }
}

impl From<&Migration> for v1::MigrationBundle {
    fn from(migration: &Migration) -> Self {
        let file = |(name, content): (&String, &Vec<u8>)| v1::migration_bundle::File {
            name: name.clone(),
            content: content.clone(),
        };
        let files = migration.files().iter().map(file).collect();
        Self { id: migration.id.to_string(), files, series: migration.series }
    }
}

impl TryFrom<v1::MigrationBundle> for Migration {
    type Error = InvalidBundle;

    fn try_from(wire: v1::MigrationBundle) -> Result<Self, InvalidBundle> {
        let id = name::read(wire.id, "id")?;
        let mut files = BTreeMap::new();
        for (i, file) in wire.files.into_iter().enumerate() {
            if files.contains_key(&file.name) {
                let why = format!("there are two files with the name {:?}", file.name);
                return Err(InvalidWire::new(format!("files[{i}].name"), why).into());
            }
            files.insert(file.name, file.content);
        }
        Ok(Self::parse(id, files)?.in_series(wire.series))
    }
}

wire_message!(MigrationSummary {
    id: name,
    digest: digest,
    manifest: message,
    standard: message,
    batched: optional_message,
    down: optional_message,
    series: plain,
});

wire_message!(ScriptSummary { one_transaction: plain, statements: messages });

wire_message!(StatementSummary {
    line: from_one,
    text: plain,
    own_transaction: optional_text,
    block: optional_from_one,
    backfill: optional_message,
});

impl From<Manifest> for v1::Manifest {
    fn from(manifest: Manifest) -> Self {
        Self {
            description: optional_text::write(manifest.description),
            table: optional_text::write(manifest.table),
            batch_above_rows: manifest.batch_above_rows,
            rerun_safe: match manifest.rerun {
                Rerun::Unknown => false,
                Rerun::Safe => true,
            },
            checks: messages::write(manifest.checks),
            verify: messages::write(manifest.verify),
            monitors: messages::write(manifest.monitors),
            follow_ups: messages::write(manifest.follow_ups),
            transaction_never: manifest.transaction == TransactionMode::Never,
            down_transaction_never: manifest.down_transaction == TransactionMode::Never,
            no_save: manifest.no_save,
            source: optional_message::write(manifest.source),
        }
    }
}

impl TryFrom<v1::Manifest> for Manifest {
    type Error = InvalidWire;

    fn try_from(wire: v1::Manifest) -> Result<Self, InvalidWire> {
        Ok(Self {
            description: optional_text::read(wire.description, "description")?,
            table: optional_text::read(wire.table, "table")?,
            batch_above_rows: wire.batch_above_rows,
            rerun: if wire.rerun_safe { Rerun::Safe } else { Rerun::Unknown },
            checks: messages::read(wire.checks, "checks")?,
            verify: messages::read(wire.verify, "verify")?,
            monitors: messages::read(wire.monitors, "monitors")?,
            follow_ups: messages::read(wire.follow_ups, "follow_ups")?,
            transaction: mode_of(wire.transaction_never),
            down_transaction: mode_of(wire.down_transaction_never),
            no_save: wire.no_save,
            source: optional_message::read(wire.source, "source")?,
        })
    }
}

fn mode_of(never: bool) -> TransactionMode {
    if never { TransactionMode::Never } else { TransactionMode::Auto }
}

impl From<Source> for v1::MigrationSource {
    fn from(source: Source) -> Self {
        Self {
            layout: source.layout.to_string(),
            up: Some(v1::SourcePlace { file: source.file, first_line: source.first_line }),
            down: optional_message::write(source.down),
            repeatable: source.repeatable,
        }
    }
}

impl TryFrom<v1::MigrationSource> for Source {
    type Error = InvalidWire;

    fn try_from(wire: v1::MigrationSource) -> Result<Self, InvalidWire> {
        let up: SourcePlace = message::read(wire.up, "up")?;
        Ok(Self {
            layout: wire
                .layout
                .parse()
                .map_err(|e: UnknownLayout| InvalidWire::new("layout", e.to_string()))?,
            file: up.file,
            first_line: up.first_line,
            repeatable: wire.repeatable,
            down: optional_message::read(wire.down, "down")?,
        })
    }
}

wire_message!(SourcePlace { file: plain, first_line: from_one });
