//! Stopover's agent: it stands beside an environment's databases, dials out to the server, and does the work there.
//!
//! It keeps no journal: what took effect is written in the database itself. It never decides what comes next, and never
//! sends a password or a row anywhere.
//!
//! ```text
//! run (tunnel) -> service -> work registry -> inspect | backup | rehearse | migrate | verify | monitor | rollback -> postgres, ledger
//!                       `--> history | record | drift | follow-up, outside of deployments ------------------------^
//! ```

pub mod backup;
pub mod baseline;
pub mod cli;
pub mod config;
pub mod connection;
pub mod drift;
pub mod fingerprint;
pub mod follow_up;
pub mod history;
pub mod identity;
pub mod inspect;
pub mod join;
pub mod ledger;
pub mod migrate;
pub mod monitor;
pub mod postgres;
pub mod record;
pub mod rehearse;
pub mod rollback;
pub mod run;
pub mod saved;
pub mod scratch;
pub mod service;
pub mod step;
#[cfg(test)]
mod testing;
pub mod vault;
pub mod verify;
pub mod web;
pub mod work;
