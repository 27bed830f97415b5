//! Being written.

pub mod connection;
