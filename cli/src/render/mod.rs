//! From states and records to lines of text. Nothing here reads, writes, waits or asks for the time.

pub mod adoption;
pub mod backup;
pub mod baseline;
pub mod check;
pub mod difference;
pub mod drift;
pub mod error;
pub mod estimate;
pub mod event;
pub mod explain;
pub mod fleet;
pub mod follow_up;
pub mod gate;
pub mod impact;
pub mod json;
pub mod line;
pub mod lint;
pub mod list;
pub mod notification;
pub mod number;
pub mod pipeline;
pub mod plan;
pub mod rehearsal;
pub mod rollback;
pub mod row;
pub mod saved;
pub mod script;
pub mod step;
pub mod tree;
pub mod waiting;
pub mod way_back;
pub mod window;

#[cfg(test)]
pub(crate) mod sample;

use jiff::Timestamp;

/// For whom something is rendered.
#[derive(Debug, Clone, Copy)]
pub struct View {
    pub now: Timestamp,
    /// In columns.
    pub width: usize,
}

/// How much of each step is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// A row each, and the errors.
    Rows,
    /// With each check, each backup's place and its restore command.
    Full,
}
