//! Stopover's control plane: it sequences deployments through their environments and streams their progress.
//!
//! It never sees a database password or a row of data, and never decides what the model decides.
//!
//! ```text
//! listener (TLS) -> rpc -> conductor -> store (log)
//!                     \-> registry (tunnels) <- conductor
//! conductor -> hooks (calls) -> whom a pipeline names -> hooks (answers) -> conductor
//! store (outbox) -> notify -> webhooks, Slack, mail
//! ```

pub mod audit;
pub mod authority;
pub mod callback;
pub mod conductor;
pub mod config;
pub mod data_dir;
pub mod first_start;
pub mod hooks;
pub mod hub;
pub mod listener;
pub mod notify;
pub mod oidc;
pub mod people;
pub mod registry;
pub mod rpc;
pub mod secrets;
pub mod store;
#[cfg(test)]
mod testing;
