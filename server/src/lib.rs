//! Being written.

pub mod authority;
pub mod listener;
pub mod store;
