//! What a migration in one transaction sees of itself from within, so that nobody has to look at the whole schema for it.

use std::sync::Arc;

use stopover_model::digest::Digest;

use super::Engine;
use super::stop::Stop;
use crate::fingerprint::{Counts, Fingerprint, Looked, Reach, look_locally};
use crate::ledger::{self, Words};
use crate::postgres::{QueryError, Session};

/// The tables that a migration has changed, and the schema's digest with them.
pub(super) struct SeenFromWithin {
    pub(super) looked: Looked,
    pub(super) after: Digest,
}

impl SeenFromWithin {
    pub(super) fn of(before: &Fingerprint, looked: Looked) -> Self {
        Self { after: before.digest_with(&looked), looked }
    }
}

impl Engine<'_> {
    /// Inside a work transaction: whether this run may still write. On a session that was taken over nobody has taken the
    /// fence for this run yet; then it is taken here, together with the effect.
    pub(super) async fn hold_fence(&self, session: &Session) -> Result<bool, QueryError> {
        if self.warm {
            ledger::take_fence(session, &self.author).await
        } else {
            ledger::hold_fence(session, &self.author).await
        }
    }

    /// Before the script's first statement.
    pub(super) async fn count(&self, session: &Session) -> Result<Option<Counts>, Stop> {
        if self.reach == Reach::Anything || self.before.is_none() {
            return Ok(None);
        }
        let counts = Counts::take(session).await;
        counts.map(Some).map_err(|e| Stop::query(e, "count what is written to the catalogs"))
    }

    /// Behind its last one, in the same transaction. None: that can't be seen from so near.
    pub(super) async fn see(
        &self,
        session: &Session,
        counts: Option<Counts>,
    ) -> Result<Option<SeenFromWithin>, Stop> {
        let (Some(counts), Some(before)) = (counts, &self.before) else { return Ok(None) };
        let looked = look_locally(session, &self.reach, &counts, before).await;
        let looked = looked.map_err(|e| Stop::query(e, "look at the tables that were changed"))?;
        Ok(looked.map(|looked| SeenFromWithin::of(before, looked)))
    }

    /// What the ledger's last words say of the schema.
    pub(super) fn words(&self) -> Words<'_> {
        match (&self.seen, &self.before) {
            (Some(seen), Some(before)) => Words {
                fingerprint_after: Some(seen.after),
                changes: Some(before.changes_with(&seen.looked)),
                objects_before: None,
            },
            // Its row was written without them.
            (None, Some(before)) if self.reach != Reach::Anything => {
                Words { objects_before: Some(&before.objects), ..Words::default() }
            }
            _ => Words::default(),
        }
    }

    /// The schema behind the COMMIT; None where it was not seen before.
    pub(super) fn schema_after(&mut self) -> Option<Arc<Fingerprint>> {
        let SeenFromWithin { looked, after } = self.seen.take()?;
        let mut schema = Arc::unwrap_or_clone(self.before.take()?);
        schema.become_with(looked, after);
        Some(Arc::new(schema))
    }
}
