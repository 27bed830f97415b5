//! Stopover's domain, pure: what a migration, a pipeline, a plan and a deployment are, and how a deployment goes on.
//!
//! A deployment is its events. [`apply`](deployment::Deployment::apply) folds one event into the state and knows every legal
//! transition; [`decide`](decide::decide) looks at the state, the world and the time, and says what to do next. The server
//! does what it says; the CLI folds the same events to show the same state.
//!
//! This crate never reads a clock, draws a random number, opens a file or talks to anything: all of that arrives as
//! arguments.

pub mod actor;
pub mod audit;
pub mod backfill;
pub mod backup;
pub mod baseline;
pub mod cause;
pub mod config;
pub mod decide;
pub mod deployment;
pub mod digest;
pub mod disk;
pub mod drift;
pub mod duration;
pub mod event;
pub mod follow_up;
pub mod gate;
pub mod history;
pub mod id;
pub mod impact;
pub mod layout;
pub mod lint;
pub mod migration;
pub mod monitor;
pub mod notice;
pub mod pipeline;
pub mod plan;
pub mod quarantine;
pub mod report;
pub mod role;
pub mod rollback;
pub mod saved;
pub mod sql;
mod text;
pub mod wave;
pub mod window;
