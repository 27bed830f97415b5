//! Our own rules, where squawk has none. One file each.

mod add_column_rewrites;
mod block_fill;
mod default_instead;
mod lock_held;
mod rerun;
mod rollback_loses_data;
mod set_not_null;
mod timeout;
mod whole_table;

use crate::raw::Raw;
use crate::reading::Reading;

pub(crate) use set_not_null::{settle as settle_not_null, squawks as squawks_not_null};

/// What ours find in a script; `up` is the way there of a way back.
pub(crate) fn findings(reading: &Reading<'_>, up: Option<&Reading<'_>>) -> Vec<Raw> {
    let mut found = Vec::new();
    for index in 0..reading.statements.len() {
        found.extend(whole_table::check(reading, index));
        found.extend(block_fill::check(reading, index));
        found.extend(add_column_rewrites::check(reading, index));
        found.extend(timeout::check(reading, index));
        found.extend(rerun::check(reading, index));
        found.extend(rollback_loses_data::check(reading, index, up));
    }
    found.extend(lock_held::check(reading));
    found
}
