//! Between the wire's messages and the model's types: `v1::X::from(model)` and `Model::try_from(wire)`.
//!
//! Wire data is checked here, once, on entry: what a conversion lets through needs no second look at its enum values,
//! names, digests, times and required parts. Whether it makes sense where it arrives (whether the pipeline has that
//! stage, whether the step may end now) is never asked here.
//!
//! [`field`] converts single fields, for messages that have no twin in the model.

#[macro_use]
mod macros;

mod backfill;
mod backup;
mod baseline;
mod calendar;
mod command;
mod drift;
mod error;
mod event;
mod expectation;
pub mod field;
mod follow_up;
mod gate;
mod history;
mod hook;
mod impact;
mod inspection;
mod lint;
mod log;
mod migration;
mod monitor;
mod notify;
mod outcome;
mod pipeline;
mod plan;
mod rehearsal;
mod rollback;
mod saved;
mod step;
mod time;
mod waiting;

pub use command::{AgentAct, AgentCommand};
pub use error::{AtField, InField, InvalidWire};
pub use field::WireEnum;
pub use migration::InvalidBundle;

#[cfg(test)]
mod tests;
