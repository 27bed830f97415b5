//! The working session of a migration, kept for a moment for the next one of the same deployment.
//!
//! It is given back as a new one would be: nothing that a script has set is left, and Stopover's lock is held. What can't
//! be proven is closed. It is never given to another deployment, and after a moment to nobody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stopover_model::id::DeploymentId;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;

use crate::fingerprint::Fingerprint;
use crate::ledger;
use crate::ledger::exclusion::{LOCK_KEYS, release_lock};
use crate::postgres::{Purpose, Session, SessionName};

/// The next migration of a deployment comes within milliseconds. Anybody else who wants the database waits no longer.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// A server that waits for a synchronous standby may never answer.
const FLUSHED_WITHIN: Duration = Duration::from_secs(30);

/// The place for one database's session. Clones share it.
#[derive(Clone, Default)]
pub struct Parking {
    kept_for: Duration,
    slot: Arc<Mutex<Slot>>,
}

#[derive(Default)]
struct Slot {
    /// Of the one that is here; tells it from those before.
    number: u64,
    parked: Option<Parked>,
}

struct Parked {
    deployment: DeploymentId,
    /// None where it could not be made as good as new.
    ready: JoinHandle<Option<Session>>,
    schema: Option<Arc<Fingerprint>>,
    alone: Option<Instant>,
}

/// What a migration leaves with its session.
pub(super) struct Left {
    /// As it is now.
    pub(super) schema: Option<Arc<Fingerprint>>,
    /// When nobody was last found in the database beside whom nothing should begin.
    pub(super) alone: Option<Instant>,
    /// Nothing but what the product has prepared is prepared in the session, and that is kept.
    pub(super) prepared: bool,
    /// It is as good as new already, and Stopover's lock is held.
    pub(super) renewed: bool,
}

impl std::fmt::Debug for Parking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parking").field("kept_for", &self.kept_for).finish_non_exhaustive()
    }
}

/// What the next migration takes over; it still has the name of the one before.
pub(super) struct Warm {
    pub(super) session: Session,
    /// As the migration before has left it.
    pub(super) schema: Option<Arc<Fingerprint>>,
    pub(super) alone: Option<Instant>,
}

impl Parking {
    /// One that keeps sessions; the default keeps none.
    #[must_use]
    pub fn keeping() -> Self {
        Self::keeping_for(KEPT_FOR)
    }

    /// The same for another time.
    #[must_use]
    pub fn keeping_for(time: Duration) -> Self {
        Self { kept_for: time, slot: Arc::default() }
    }

    /// Leaves the session here, or closes it where nothing is kept.
    pub(super) async fn park(&self, name: &SessionName, session: Session, left: Left) {
        if self.kept_for.is_zero() {
            return close(session).await;
        }
        let parked = Parked {
            deployment: name.deployment.clone(),
            ready: tokio::spawn(made_new(session, Purpose::writing(name), left.prepared, left.renewed)),
            schema: left.schema,
            alone: left.alone,
        };
        let number = {
            let mut slot = self.slot();
            slot.number += 1;
            slot.parked = Some(parked);
            slot.number
        };
        let parking = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(parking.kept_for).await;
            let left = {
                let mut slot = parking.slot();
                if slot.number == number { slot.parked.take() } else { None }
            };
            empty(left).await;
        });
    }

    /// What is here, when it is this deployment's. Anything else is gone when this returns.
    pub(super) async fn take(&self, name: &SessionName) -> Option<Warm> {
        let parked = self.slot().parked.take();
        let parked = match parked {
            Some(parked) if parked.deployment == name.deployment => parked,
            other => {
                empty(other).await;
                return None;
            }
        };
        let session = parked.ready.await.ok().flatten()?;
        Some(Warm { session, schema: parked.schema, alone: parked.alone })
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn empty(parked: Option<Parked>) {
    if let Some(parked) = parked
        && let Ok(Some(session)) = parked.ready.await
    {
        close(session).await;
    }
}

/// What was committed through the session and is not on the server's disk is brought there first.
pub(super) async fn close(session: Session) {
    flushed(&session).await;
    release_lock(&session).await;
    session.close().await;
}

/// Whether all that was committed through the session is on the server's disk.
pub(super) async fn flushed(session: &Session) -> bool {
    if session.unflushed().count() == 0 {
        return true;
    }
    matches!(tokio::time::timeout(FLUSHED_WITHIN, ledger::flush(session)).await, Ok(Ok(())))
}

/// Takes away what a script may have left in the session. That lets the lock go as well, so it is taken anew.
async fn made_new(session: Session, purpose: Purpose, prepared: bool, renewed: bool) -> Option<Session> {
    if renewed {
        session.prepare_known().await;
        return Some(session);
    }
    let lock = format!("SELECT pg_catalog.pg_try_advisory_lock({}, {})", LOCK_KEYS.0, LOCK_KEYS.1);
    let (renewed, locked, ()) =
        tokio::join!(session.renew(&purpose, prepared), session.client().simple_query(&lock), async {
            if prepared {
                session.prepare_known().await;
            }
        });
    let locked = locked.is_ok_and(|answer| {
        answer
            .iter()
            .any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")))
    });
    if renewed.is_ok() && locked {
        return Some(session);
    }
    close(session).await;
    None
}
