//! Being written.

pub mod connection;
pub mod postgres;
pub mod step;
pub mod fingerprint;
pub mod ledger;
pub mod migrate;
pub mod rollback;
