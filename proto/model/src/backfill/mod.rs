//! A statement that is run in batches: what `-- stopover: backfill` asks for, whether the statement can be taken apart
//! without changing what it does, the SQL of one batch, and how large the next one should be.
//!
//! ```text
//! comment -> Directive      statement -> Batchable | Refusal      Batchable + Range -> the SQL of a batch
//! what batches took -> Pace -> rows of the next batch
//! ```
//!
//! Whether a statement can be taken apart is decided from its tokens alone; what only the database knows (the key, a
//! function that is an aggregate) is asked there. Nothing here talks to it.

mod analyse;
mod brakes;
mod clauses;
mod directive;
mod insert;
mod leaves;
mod pace;
mod parts;
mod range;
mod statement;
mod throttle;
mod tokens;

pub use brakes::{Brakes, Canary, Hold, Reading, Signal, Signals, bytes_text};
pub use directive::{Directive, DirectiveError, Order};
pub use pace::Pace;
pub use range::{KeyColumn, KeyValues, Lane, Range};
pub use statement::{Action, Batchable, Refusal};
pub use throttle::Throttle;

pub use analyse::analyse;

#[cfg(test)]
mod tests;
