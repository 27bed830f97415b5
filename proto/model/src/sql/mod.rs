//! SQL text as PostgreSQL's own client reads it: which statements a file holds, what each of them is, and
//! what may run inside a transaction.
//!
//! Decisions look at tokens, never at words: a literal or a comment that says "concurrently" means nothing here.
//! This module never talks to a server, never rewrites a statement (each is a slice of the file), and never
//! judges whether a statement is valid: the server does that, and [`position_in`] shows where it pointed.
//!
//! ```text
//! file -> split -> Statement -> kind() -> transactionality(), created_objects(), ...
//! ```

mod classify;
mod comment;
mod copy;
pub(crate) mod cursor;
mod do_block;
mod drops;
mod enum_value;
mod error;
mod identifier;
mod kind;
pub(crate) mod lexer;
mod lifetime;
mod name;
mod name_text;
mod objects;
mod outside;
mod position;
mod progress;
mod psql_command;
mod redirect;
mod split;
mod transaction;
mod transaction_modes;

pub use comment::{Comment, comments};
pub use drops::{Drop, DropTarget, Emptying};
pub use enum_value::{EnumValueUse, uses_new_enum_value};
pub use error::{SplitError, Unclosed};
pub use identifier::overlong_identifiers;
pub use kind::{AlterAction, CopySource, ReindexTarget, StatementKind};
pub use lifetime::{Fleeting, identifiers, is_session_setting};
pub use name::{Name, quoted};
pub use name_text::InvalidName;
pub use objects::{CreatedObject, created_objects};
pub use outside::outside_effect;
pub use position::{SourcePoint, position_in};
pub use progress::notice_progress;
pub use redirect::{Redirected, redirected};
pub use split::{Statement, split};
pub use transaction::Transactionality;
pub use transaction_modes::{Isolation, TransactionModes, commit_chains, session_isolation};
