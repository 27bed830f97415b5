//! Carries deployments on: load, decide, append, dispatch.
//!
//! Each deployment that goes on has one task, which alone appends to its log. It never decides anything itself: what is
//! due comes from [`stopover_model::decide`], and what happened is in the log before anybody hears of it.
//!
//! ```text
//! request, agent's update, time, world changed -> actor -> decide -> append -> hub -> watchers
//!                                                            \-> dispatch -> agent (through its tunnel)
//! ```

mod act;
mod actor;
mod backups;
mod create;
mod dispatch;
mod drift;
mod error;
mod follow_ups;
mod glance;
mod hooks;
mod keep;
mod lint;
mod load;
mod message;
mod plan;
mod projection;
mod request;
mod restore_approvals;
mod rollback;
mod saved;
mod world;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{FutureExt as _, Stream};
use jiff::Timestamp;
use stopover_model::digest::Digest;
use stopover_model::event::{Resolution, StageIndex, StepKey};
use stopover_model::gate::HookOutcome;
use stopover_model::id::{DatabaseName, DeploymentId, GroupName, HookName, MigrationId, OperatorName, Seq};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use act::RecordApplied;
pub use backups::{BackupAsked, BackupUpdates, Shelves};
pub use create::Create;
pub use error::ConductError;
pub use plan::{Plan, StagePlan, TargetResult};
pub use request::{next_stage, stage_of_hook, stage_with};
pub use restore_approvals::Replacement;
pub use rollback::StageRollbackPlan;
pub use saved::{RestoreSaved, SavedIn};

use crate::hooks::Caller;
use crate::hub::{Hub, WatchItem};
use crate::registry::Registry;
use crate::store::{Store, StoreError};
use message::Message;
use restore_approvals::RestoreApprovals;

/// Before a deployment is taken up again after a fault of the server's own.
const AFTER_PANIC: Duration = Duration::from_secs(10);

/// Where the time comes from.
pub type Clock = fn() -> Timestamp;

/// What an operator asks of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Cancel,
    Rollback {
        /// None: the last stage in which something of the deployment is.
        stage: Option<StageIndex>,
        /// This migration and those before it stay.
        to: Option<MigrationId>,
    },
    Pause {
        reason: String,
    },
    Resume {
        /// Only what failed in these is tried again. Empty: all goes on.
        databases: Vec<DatabaseName>,
    },
    /// To go on without a database of the stage that runs.
    LeaveOut {
        database: DatabaseName,
        reason: String,
    },
    Throttle(ThrottleChange),
    Resolve {
        /// None: the only one that is UNKNOWN, or the only rollback that failed.
        step: Option<StepKey>,
        resolution: Resolution,
    },
    /// To agree to what is planned for a stage. None: the stage that is open, or comes next.
    Approve {
        stage: Option<StageIndex>,
        /// Of the token that was used.
        groups: Vec<GroupName>,
        /// Of what was looked at.
        digest: Digest,
        reason: String,
    },
    Reject {
        stage: Option<StageIndex>,
        groups: Vec<GroupName>,
        reason: String,
    },
    /// To let a stage go on outside of its windows. None: the stage that is open, or comes next.
    OverrideWindow {
        stage: Option<StageIndex>,
        reason: String,
    },
    /// To say how a hook went. None: the stage in which a hook of this name is waited for.
    AnswerHook {
        stage: Option<StageIndex>,
        hook: HookName,
        outcome: HookOutcome,
    },
    /// To say that an item of a stage's checklist is done. None: the first stage with such an item that has not ended.
    Tick {
        stage: Option<StageIndex>,
        item: String,
    },
}

/// What a person says of the speed of backfills; what it leaves open stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThrottleChange {
    /// Forget what was said before.
    pub reset: bool,
    pub batch_time: Option<Duration>,
    pub max_rate: Option<u32>,
    pub pause: Option<Duration>,
    pub paused: Option<bool>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Conductor {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    registry: Registry,
    hub: Hub,
    clock: Clock,
    caller: Caller,
    actors: Mutex<BTreeMap<DeploymentId, mpsc::Sender<Message>>>,
    acts: act::Acts,
    linted: lint::Lately,
    affected: dispatch::Affected,
    restores: RestoreApprovals,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Conductor {
    /// Takes up every deployment that has not ended.
    pub async fn start(
        store: Store,
        registry: Registry,
        caller: Caller,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let conductor = Self {
            shared: Arc::new(Shared {
                store,
                registry,
                hub: Hub::default(),
                clock,
                caller,
                actors: Mutex::default(),
                acts: act::Acts::default(),
                linted: lint::Lately::default(),
                affected: dispatch::Affected::default(),
                restores: RestoreApprovals::default(),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        };
        for id in conductor.shared.store.open_deployments().await? {
            tracing::info!(deployment = %id, "taking the deployment up again");
            conductor.shared.actor(&id);
        }
        let shared = Arc::clone(&conductor.shared);
        let stop = shared.stop.clone();
        conductor.shared.tasks.spawn(async move {
            stop.run_until_cancelled(shared.keep_following_up()).await;
        });
        Ok(conductor)
    }

    /// Asks something of a deployment; answers with the seq of the event that it became.
    pub async fn request(
        &self,
        id: &DeploymentId,
        by: OperatorName,
        request: Request,
    ) -> Result<Seq, ConductError> {
        let (reply, answer) = oneshot::channel();
        self.send(id, Message::Request { by, request, reply }).await?;
        answer.await.unwrap_or(Err(ConductError::Stopping))
    }

    async fn send(&self, id: &DeploymentId, mut message: Message) -> Result<(), ConductError> {
        // An actor may end between being found and being asked; the next one takes the request then.
        loop {
            match self.shared.actor(id).send(message).await {
                Ok(()) => return Ok(()),
                Err(_) if self.shared.stop.is_cancelled() => return Err(ConductError::Stopping),
                Err(mpsc::error::SendError(unsent)) => message = unsent,
            }
        }
    }

    /// The log after `after`, then what happens, to the deployment's end.
    pub async fn watch(
        &self,
        id: &DeploymentId,
        after: Seq,
    ) -> Result<impl Stream<Item = Result<WatchItem, StoreError>> + Send + use<>, ConductError> {
        // Only what is in the log can have been seen; more was seen in a log that is no longer there.
        let seen = Seq(after.0.max(1) - 1);
        if self.shared.store.records(id, seen, 1).await?.is_empty() {
            return Err(match self.shared.store.last_seq(id).await? {
                None => ConductError::NoDeployment(id.to_string()),
                Some(last) => ConductError::BeyondLog { deployment: id.clone(), last, after },
            });
        }
        let (out, items) = mpsc::channel(256);
        let shared = Arc::clone(&self.shared);
        let id = id.clone();
        self.shared.tasks.spawn(async move {
            let watching = shared.hub.watch(shared.store.clone(), id, after, out);
            shared.stop.run_until_cancelled(watching).await;
        });
        Ok(ReceiverStream::new(items))
    }

    /// Ends the tasks. Agents go on with their work, and report to the next server.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Shared {
    /// The deployment's actor; begun when there is none.
    fn actor(self: &Arc<Self>, id: &DeploymentId) -> mpsc::Sender<Message> {
        let mut actors = self.actors();
        if let Some(actor) = actors.get(id).filter(|a| !a.is_closed()) {
            return actor.clone();
        }
        let (sender, inbox) = mpsc::channel(1024);
        actors.insert(id.clone(), sender.clone());
        let run = Box::pin(actor::run(Arc::clone(self), id.clone(), sender.downgrade(), inbox));
        let (shared, id) = (Arc::clone(self), id.clone());
        self.tasks.spawn(async move {
            let run = AssertUnwindSafe(run).catch_unwind();
            if let Some(Err(_)) = shared.stop.run_until_cancelled(run).await {
                tracing::error!(deployment = %id, "the deployment's task fell over a fault of the server; it begins again");
                if shared.stop.run_until_cancelled(tokio::time::sleep(AFTER_PANIC)).await.is_some() {
                    shared.actor(&id);
                }
            }
        });
        sender
    }

    fn actors(&self) -> MutexGuard<'_, BTreeMap<DeploymentId, mpsc::Sender<Message>>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
