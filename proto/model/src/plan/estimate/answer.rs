//! What a source says of a statement.

use std::time::Duration;

use super::Spread;

/// How long, from what.
pub(super) struct Answer {
    pub(super) duration: Duration,
    pub(super) spread: Option<Spread>,
    pub(super) basis: String,
}
