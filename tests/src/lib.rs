//! What the end-to-end tests run on: real processes, real PostgreSQL, real TLS, and the means to break them.
//!
//! ```text
//! Stack: a server, environments each with a database on a throwaway cluster and an agent that joined by token
//! Process: a child that can be killed at any instant and never outlives its test
//! Cutter: a TCP proxy that can cut, swallow and delay
//! HttpTarget: answers over HTTP as the test decides
//! ObjectStore: a bucket that speaks S3, over a directory
//! Issuer: an identity provider, and a browser with a person before it
//! Receiver: what webhooks are sent to
//! Mailbox: a mail server that keeps what it gets
//! Wire: a TCP proxy that reads PostgreSQL's messages, and stops at one of them
//! Simulated: agents without databases, as many as are wanted
//! bench: what the benchmarks share
//! ```
//!
//! The engine's fault matrix uses the wire as well: agent/tests/engine/faults. Its long form, for a change to the engine:
//! `STOPOVER_FAULT_ROUNDS=2 cargo nextest run --profile faults -p stopover-agent faults::`
//! The fleet has one as well, with a few hundred databases: tests/e2e/fleet.rs.

pub mod bench;
pub mod cli;
pub mod control;
pub mod cutter;
pub mod history;
pub mod http;
pub mod issuer;
pub mod mailbox;
pub mod process;
pub mod receiver;
pub mod s3;
pub mod simulated;
pub mod stack;
pub mod wait;
pub mod wire;

pub use self::http::{HttpTarget, Reply};
pub use cli::{Cli, Finished};
pub use cutter::Cutter;
pub use issuer::Issuer;
pub use mailbox::{Mail, Mailbox};
pub use process::Process;
pub use receiver::{Received, Receiver};
pub use s3::ObjectStore;
pub use simulated::{Simulated, SimulatedOptions};
pub use stack::{AgentOptions, Stack};
pub use wait::eventually;
pub use wire::{Hold, Wire};
