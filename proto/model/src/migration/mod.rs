//! A migration: a directory of plain SQL with an optional `migration.toml`.
//!
//! Parsing takes the files' contents, never a path: the CLI reads the directory, and the agent checks the same bytes again.

mod bundle;
mod expectation;
mod manifest;
pub(crate) mod raw;
mod script;
mod source;
mod variant;

pub use bundle::{FILE_NAMES, Migration, MigrationError};
pub use expectation::{Expectation, Scalar, Verdict, seen};
pub use manifest::{Again, Check, FollowUp, Manifest, Monitor, Rerun};
pub use script::{Block, Reading, Script, ScriptError, ScriptSummary, StatementSummary, Transactions};
pub use source::{Layout, Source, SourcePlace, TransactionMode, UnknownLayout};
pub use variant::Variant;
