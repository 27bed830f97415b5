//! How a migration keeps what the ledger remembers of the schema right, so that nothing of its own looks like drift.

use std::sync::Arc;

use stopover_model::digest::Digest;

use super::Engine;
use super::stop::Stop;
use super::writes::write;
use crate::fingerprint::{self, Changes, Fingerprint, Reach};
use crate::ledger::{self, Changed, KnownBy, MigrationRow, Remembered};
use crate::postgres::{QueryError, Session};

impl Engine<'_> {
    /// Looks at the schema before the script's first statement. A ledger that remembers nothing, or what another version
    /// of the server had written, begins with that; and what an earlier migration left unseen is seen now.
    pub(super) async fn first_look(&self, session: &Session) -> Result<Option<Arc<Fingerprint>>, Stop> {
        let (look, remembered) = tokio::join!(self.look(session), ledger::remembered(session));
        let remembered = remembered.map_err(|e| Stop::query(e, "read what is known of the schema"))?;
        if let Some(look) = &look {
            self.catch_up(session, look, remembered).await?;
        }
        Ok(look)
    }

    async fn catch_up(
        &self,
        session: &Session,
        look: &Fingerprint,
        remembered: Option<Remembered>,
    ) -> Result<(), Stop> {
        let doing = "remember the schema";
        match remembered {
            Some(known) if known.major != look.major() => {
                self.context.reporter.message(format!(
                    "the server's version was {} when the schema was last looked at, and is {}: it is recorded anew",
                    known.major,
                    look.major()
                ));
                let anew = ledger::remember(session, &self.author, KnownBy::Found, look);
                write(self, session, doing, anew).await
            }
            Some(known) if known.under_way.is_some() && !known.under_way_is_open => {
                let unseen = ledger::change_ended_unseen(session, &self.author, &known, look);
                write(self, session, doing, unseen).await
            }
            Some(_) => Ok(()),
            None => {
                let first = ledger::remember(session, &self.author, KnownBy::Found, look);
                write(self, session, doing, first).await
            }
        }
    }

    /// With the row that says that the script runs: what it changes is only seen after its end.
    pub(super) async fn change_begins(&self, session: &Session) -> Result<(), QueryError> {
        if self.reach != Reach::Anything {
            return Ok(());
        }
        ledger::change_begins(session, &self.job.migration.id, self.before.as_deref()).await
    }

    /// With the script's effect: what of the schema it has changed, or that nobody has seen it.
    pub(super) async fn remember_seen(&self, session: &Session) -> Result<(), QueryError> {
        let id = &self.job.migration.id;
        match (&self.seen, &self.before) {
            _ if self.reach == Reach::Anything => Ok(()),
            (Some(seen), Some(before)) => {
                ledger::remember_changed(session, &self.author, id, before, &seen.looked, seen.after).await
            }
            (_, before) => ledger::change_begins(session, id, before.as_deref()).await,
        }
    }

    /// Behind the COMMIT of a rollback.
    pub(super) async fn remember_after(
        &self,
        session: &Session,
        before: Option<Digest>,
        after: &Fingerprint,
        changes: Option<&Changes>,
    ) {
        let ended = Changed { id: &self.job.migration.id, before, after, changes };
        if let Err(error) = ledger::settle_schema(session, &self.author, ended).await {
            self.say_not_remembered(&error);
        }
    }

    /// An earlier attempt did the work and did not live to see it.
    pub(super) async fn remember_unseen(&self, session: &Session, row: Option<&MigrationRow>) {
        let unseen = match ledger::remembered(session).await {
            Ok(remembered) => remembered.is_some_and(|known| {
                known.under_way.as_deref() == Some(self.job.migration.id.as_str()) && !known.under_way_is_open
            }),
            Err(error) => return self.say_not_remembered(&error),
        };
        if !unseen {
            return;
        }
        match fingerprint::take(session).await {
            Ok(after) => {
                let before = row.and_then(|row| row.fingerprint_before);
                self.remember_after(session, before, &after, None).await;
            }
            Err(error) => self.say_not_remembered(&error),
        }
    }

    /// The next look makes up for it.
    fn say_not_remembered(&self, error: &QueryError) {
        self.context.reporter.message(format!("what the schema looks like could not be recorded: {error}"));
    }
}
