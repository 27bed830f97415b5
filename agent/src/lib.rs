//! Being written.

pub mod connection;
pub mod postgres;
pub mod step;
