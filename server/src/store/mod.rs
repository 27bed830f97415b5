//! What the server remembers: deployments and their events, environments, agents, tokens, pipelines. All SQL is here.
//!
//! The same text runs on SQLite (one file, one server) and on PostgreSQL. Rows never leave this module, and what is read
//! is checked as it is read. It decides nothing: which event follows which is the model's business, and an append only
//! makes sure that nobody else appended in between.
//!
//! Times are kept in whole microseconds; whoever makes a [`Record`](stopover_model::event::Record) rounds its time so.

mod agents;
mod audit;
mod bundles;
mod db;
mod deployments;
mod environments;
mod error;
mod events;
mod follow_ups;
mod hook_tokens;
mod measurements;
mod named;
mod notifications;
mod open;
mod operators;
mod people;
mod pipelines;
mod quarantine;
mod snapshots;

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::{Mutex, Notify};

use db::Db;

pub use agents::{AgentRow, CertificateRow, Redeemed};
pub use audit::{AuditRow, SignedHead, Undelivered};
pub use bundles::Files;
pub use deployments::{Bundle, Creation, DeploymentRow, Found, NewDeployment};
pub use error::{AppendError, StoreError};
pub use events::{Hold, Learned, Projection};
pub use hook_tokens::HookAttempt;
pub use notifications::Notification;
pub use operators::{NewToken, Revoked, TokenRow};
pub use people::{Account, Met, PersonRow};
pub use pipelines::{PipelineRow, PutPipeline};
pub use snapshots::{Kept, Snapshot};

/// The open store. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    /// Drawn from the store, and not given to anybody yet.
    epochs: Arc<Mutex<Range<u64>>>,
    /// Somebody is to be told something.
    news: Arc<Notify>,
}

impl Store {
    fn new(db: Db) -> Self {
        Self { db, epochs: Arc::default(), news: Arc::default() }
    }

    /// Waits until this process has written something that people are to be told. For one who waits at a time.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// Waits for what is under way and closes the connections. Calls that come later fail.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

#[cfg(test)]
mod tests;
