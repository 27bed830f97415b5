//! Throwaway PostgreSQL clusters: real servers for `stopover dev` and for every test, gone when their user is gone.
//!
//! A [`Cluster`] is made by `initdb` in a temporary directory and serves 127.0.0.1 on a free port. It never touches a
//! cluster that it did not make, and never outlives its owner: a small guard process notices when the owner ends, even
//! by `kill -9`, stops the server and removes the directory.
//!
//! ```text
//! owner ──pipe──> guard (sh)        the pipe closes when the owner drops the cluster, or dies
//!   └──spawns──> postgres <──quit──┘
//! ```
//!
//! Tests that do not stop or kill their server share one: [`Cluster::shared`] with a [`TestDatabase`] each.

mod binaries;
mod builder;
mod cluster;
mod database;
mod error;
mod guard;
mod launch;
mod owner;
pub mod seed;
mod shared;

pub use builder::ClusterBuilder;
pub use cluster::Cluster;
pub use database::TestDatabase;
pub use error::ClusterError;
