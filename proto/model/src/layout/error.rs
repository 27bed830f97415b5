//! Why a directory can't be read. Every message names the file and the way out.

use crate::config::ConfigError;
use crate::id::InvalidId;
use crate::migration::{Layout, MigrationError, ScriptError};

/// Paths begin with the directory's name.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error(
        "{directory} holds no migration; give a directory with up.sql, a directory of such directories, or one that {} reads",
        others()
    )]
    Empty { directory: String },
    /// Each layout with the first file that speaks for it.
    #[error("{directory} could be several things: {}; say which with --layout, or separate them", shown(.claims))]
    Ambiguous { directory: String, claims: Vec<(Layout, String)> },
    #[error(
        "{file} belongs to no migration: the files of {layout} are {}; rename it, move it elsewhere, or name another \
         layout with --layout",
        .layout.files()
    )]
    Stray { file: String, layout: Layout },
    #[error("{file} stands alone: there is no {wanted}; add that file, or remove this one")]
    Alone { file: String, wanted: String },
    #[error("{first} and {second} have the same version; give one of them another")]
    Duplicate { first: String, second: String },
    #[error("{first} and {second} would both be called {id} here; rename one of them")]
    SameName { first: String, second: String, id: String },
    #[error("{file}: {error}")]
    Marker { file: String, error: ScriptError },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{path} can't name a migration")]
    Name { path: String, source: InvalidId },
    #[error("{directory}/{error}")]
    Inside { directory: String, error: MigrationError },
    #[error(transparent)]
    Migration(#[from] MigrationError),
}

fn others() -> String {
    let others =
        Layout::ALL.into_iter().filter(|l| !matches!(l, Layout::Native | Layout::NativeMany | Layout::Plain));
    others.map(Layout::name).collect::<Vec<_>>().join(", ")
}

fn shown(claims: &[(Layout, String)]) -> String {
    claims.iter().map(|(layout, file)| format!("{layout} (by {file})")).collect::<Vec<_>>().join(", ")
}
