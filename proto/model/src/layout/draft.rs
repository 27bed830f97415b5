//! What a reader of another tool's layout found, made into migrations.

use std::collections::BTreeMap;

use super::error::LayoutError;
use super::files::{Files, is_sql};
use crate::id::MigrationId;
use crate::migration::{Layout, Migration, MigrationError, TransactionMode};
use crate::sql;

pub(super) struct Draft<'a> {
    /// As the tool calls it; what a migration's id may not hold is replaced.
    pub(super) name: String,
    pub(super) up: Part<'a>,
    pub(super) down: Option<Part<'a>>,
}

/// A script, which is a file or a part of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) file: &'a str,
    pub(super) first_line: u32,
    pub(super) content: &'a [u8],
    pub(super) transaction: TransactionMode,
}

impl<'a> Part<'a> {
    pub(super) fn whole(file: &'a str, content: &'a [u8], transaction: TransactionMode) -> Self {
        Self { file, first_line: 1, content, transaction }
    }

    fn is_blank(&self) -> bool {
        std::str::from_utf8(self.content)
            .is_ok_and(|text| sql::split(text).is_ok_and(|found| found.is_empty()))
    }
}

/// Checks the drafts, in their order.
pub(super) fn finish(
    drafts: Vec<Draft<'_>>,
    files: &Files<'_>,
    layout: Layout,
) -> Result<Vec<Migration>, LayoutError> {
    if drafts.is_empty() {
        return Err(LayoutError::Empty { directory: files.directory.to_owned() });
    }
    let mut names: BTreeMap<MigrationId, &str> = BTreeMap::new();
    let mut migrations = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let file = draft.up.file;
        let migration = draft.into_migration(files, layout)?;
        if let Some(first) = names.insert(migration.id.clone(), file) {
            let (first, second) = (files.shown(first), files.shown(file));
            return Err(LayoutError::SameName { first, second, id: migration.id.to_string() });
        }
        migrations.push(migration);
    }
    Ok(migrations)
}

impl Draft<'_> {
    fn into_migration(self, files: &Files<'_>, layout: Layout) -> Result<Migration, LayoutError> {
        let id = id_of(&self.name)
            .map_err(|source| LayoutError::Name { path: files.shown(self.up.file), source })?;
        // The templates of the tools leave an empty section where nobody has written a way back. It is none, unless there
        // is nothing to take back either.
        let down = self.down.filter(|down| !down.is_blank() || self.up.is_blank());
        let mut parsed = BTreeMap::from([
            ("up.sql".to_owned(), self.up.content.to_vec()),
            ("migration.toml".to_owned(), manifest_of(layout, &self.up, down.as_ref()).into_bytes()),
        ]);
        if let Some(down) = down {
            parsed.insert("down.sql".to_owned(), down.content.to_vec());
        }
        Migration::parse(id, parsed).map_err(|error| match error {
            MigrationError::Script { .. } => {
                LayoutError::Inside { directory: files.directory.to_owned(), error }
            }
            error => error.into(),
        })
    }
}

/// A tool's own name as a migration's id: what an id may not hold is replaced.
pub(crate) fn id_of(name: &str) -> Result<MigrationId, crate::id::InvalidId> {
    const LONGEST: usize = 128;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let id: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).take(LONGEST).collect();
    // A name of nothing that may stay would only be told apart by its length.
    if id.contains(|c: char| c.is_ascii_alphanumeric()) { id.parse() } else { name.parse() }
}

fn manifest_of(layout: Layout, up: &Part<'_>, down: Option<&Part<'_>>) -> String {
    let mode = |mode| match mode {
        TransactionMode::Auto => "auto",
        TransactionMode::Never => "never",
    };
    // A JSON string is a TOML string.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let down_transaction = down.map_or(TransactionMode::Auto, |down| down.transaction);
    let place = |part: &Part<'_>| format!("file = {}\nfirst_line = {}\n", quoted(part.file), part.first_line);
    let below = down.map(|down| format!("\n[source.down]\n{}", place(down))).unwrap_or_default();
    let repeatable =
        if layout == Layout::Flyway && is_repeatable(up.file) { "repeatable = true\n" } else { "" };
    format!(
        "transaction = \"{}\"\ndown_transaction = \"{}\"\n\n[source]\nlayout = \"{layout}\"\n{}{repeatable}{below}",
        mode(up.transaction),
        mode(down_transaction),
        place(up)
    )
}

/// `R__x.sql`, as Flyway names what runs again whenever it changed.
fn is_repeatable(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("R__") && is_sql(path)
}
