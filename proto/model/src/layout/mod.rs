//! Directories of migrations, as they were written for this or for another tool.
//!
//! Each migration of another tool's directory becomes an ordinary [`Migration`]: its scripts under their names here, and
//! a generated migration.toml that says where they were found, so that errors name the file that people know. The tool's
//! own order, markers and rules hold. What it would have replaced in the text (variables, placeholders) is refused,
//! never guessed. This module never reads the tool's history, and never opens a file: contents arrive as arguments.
//!
//! ```text
//! files -> detect -> one reader a layout -> drafts, in the tool's order -> migrations
//! ```

mod dbmate;
mod detect;
mod diesel;
pub(crate) mod draft;
mod error;
mod files;
mod flyway;
mod goose;
mod native;
mod numbered;
mod sqitch;
pub(crate) mod version;

use std::collections::BTreeMap;

pub use crate::migration::Layout;
pub use error::LayoutError;

use crate::migration::Migration;
use files::Files;

/// What was found in a directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Directory {
    pub layout: Layout,
    /// In the order in which they are applied.
    pub migrations: Vec<Migration>,
    /// What was passed over on purpose, for people.
    pub notes: Vec<String>,
    /// As sqitch.plan calls it.
    pub project: Option<String>,
}

/// Reads a directory. `name` is its own, with the way to it as far as errors shall show it; the files' paths are relative
/// to it, with `/` between their parts.
pub fn read(
    name: &str,
    files: &BTreeMap<String, Vec<u8>>,
    forced: Option<Layout>,
) -> Result<Directory, LayoutError> {
    let files = Files::new(name, files);
    let layout = match forced {
        Some(layout) => layout,
        None => detect::layout_of(&files)?,
    };
    let mut notes = Vec::new();
    let drafts = match layout {
        Layout::Native => {
            let migrations = vec![native::read_one(&files)?];
            return Ok(Directory { layout, migrations, notes, project: None });
        }
        Layout::NativeMany => {
            let migrations = native::read_many(&files)?;
            return Ok(Directory { layout, migrations, notes, project: None });
        }
        Layout::GolangMigrate | Layout::Sqlx | Layout::Plain | Layout::Autocommit => {
            numbered::read(&files, layout, &mut notes)?
        }
        Layout::Diesel => diesel::read(&files)?,
        Layout::Flyway => flyway::read(&files)?,
        Layout::Dbmate => dbmate::read(&files)?,
        Layout::Goose => goose::read(&files)?,
        Layout::Sqitch => sqitch::read(&files, &mut notes)?,
    };
    let migrations = draft::finish(drafts, &files, layout)?;
    let project = if layout == Layout::Sqitch { sqitch::project(&files)? } else { None };
    Ok(Directory { layout, migrations, notes, project })
}

/// Whether [`read`] looks into such a file; of others the name is enough.
#[must_use]
pub fn is_read(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|e| ["sql", "toml", "conf", "plan"].contains(&e.as_str()))
}

#[cfg(test)]
mod tests;
