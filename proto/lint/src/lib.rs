//! Stopover's linter: what a migration would do to a database that people are using, and the way that does less.
//!
//! The linter looks at the text alone: [squawk](https://squawkhq.com)'s rules, and ours where squawk has none. Nothing is known
//! here of how large a table is, and whether a statement is valid is left to PostgreSQL: what can't be read is passed
//! over, and said to be. This crate never opens a file or talks to anything. Nobody else knows squawk's crates, whose
//! interfaces move. That is why [`impact`] lives here as well, which knows the facts about one database besides.
//!
//! ```text
//! Migration -> ScriptToLint -> reading (statements, and their trees by squawk)
//!                                 ├─> squawk's rules ──┐
//!                                 └─> rules/ ──────────┴─> ignores -> severities -> Report
//! ```

mod catalogue;
mod deep;
mod finding;
mod ignore;
pub mod impact;
mod known;
mod lint;
mod nesting;
mod pipeline;
mod raw;
mod reading;
mod rule;
mod rules;
mod script;
mod severity;
mod squawk;
mod stages;
mod tree;
mod volatile;
mod way_out;

pub use finding::{Finding, Place, Report, Rewrite, Unread};
pub use lint::lint;
pub use pipeline::read_pipeline;
pub use rule::{Rule, UnknownRule};
pub use script::{Role, ScriptToLint};
pub use severity::{Selector, Severities, Severity};
pub use stages::{StagesFinding, StagesReport, lint_stages};

#[cfg(test)]
mod testing;
