//! What one call of the engine holds: the script, who runs it, and what is known so far.

use std::sync::Arc;

use stopover_model::digest::Digest;
use stopover_model::report::{Effect, Outcome};
use tokio::time::Instant;

use super::Job;
use super::observer::Observer;
use super::seen::SeenFromWithin;
use super::tally::Tally;
use crate::fingerprint::{Changes, Fingerprint, Reach};
use crate::ledger::{Author, Direction, MigrationRow, RolledBack};
use crate::postgres::{Company, Flush};
use crate::step::StepContext;

/// The migration's row as a look behind the COMMIT found it, or that it found none.
pub(super) struct Observed(pub(super) Option<MigrationRow>);

pub(crate) struct Engine<'a> {
    pub(super) context: &'a StepContext,
    pub(super) job: Job<'a>,
    pub(super) author: Author,
    pub(super) observer: Observer,
    pub(super) tally: Tally,
    /// The migration's row as it was last read.
    pub(super) row: Option<MigrationRow>,
    /// What ran last of a script that runs again: its row makes way for this one's.
    pub(super) replaces: Option<Digest>,
    /// The schema at the beginning of this call.
    pub(super) before: Option<Arc<Fingerprint>>,
    /// What the script can have changed of it.
    pub(super) reach: Reach,
    /// The tables that it has changed, as they were before the COMMIT. None: that could not be seen from so near.
    pub(super) seen: Option<SeenFromWithin>,
    /// The session is one that the migration before has left: its lock is held, and the ledger is there.
    pub(super) warm: bool,
    /// What the migration changed, as far as a rollback knows.
    pub(super) changes: Option<Changes>,
    /// The settings that the script has made in its session, as it wrote them: another session needs them too.
    pub(super) settings: Vec<String>,
    /// What the transaction that runs has saved of what it drops, for people.
    pub(super) kept: Vec<String>,
    /// What the script has left in the database, should it not go on.
    pub(super) effect: Effect,
    /// This call has sent the script's first statement.
    pub(super) ran: bool,
    /// The migration's row behind the COMMIT, where it was asked for together with that.
    pub(super) observed: Option<Observed>,
    /// Who was found in the database together with the ledger's word.
    pub(super) company: Option<Vec<Company>>,
    /// When nobody was last found there beside whom nothing should begin.
    pub(super) alone: Option<Instant>,
    /// Whether the session was made as good as new behind the COMMIT, with Stopover's lock held; None: nobody has tried.
    pub(super) renewed: Option<bool>,
    /// What was committed may not be on the server's disk yet.
    pub(super) flush: Option<Flush>,
}

/// What was seen in the database at the end.
pub(crate) struct Done {
    /// Nothing was left to do: it is applied, or there is nothing to take back.
    pub(crate) already: bool,
    /// The migration's row: of what is applied, or of what was taken back.
    pub(crate) row: Option<MigrationRow>,
    /// An earlier attempt of this deployment took it back.
    pub(crate) rolled_back: Option<RolledBack>,
    pub(crate) before: Option<Arc<Fingerprint>>,
    pub(crate) after: Option<Arc<Fingerprint>>,
    /// What the migration had changed, for the rollback's verification.
    pub(crate) changes: Option<Changes>,
    pub(crate) tally: Tally,
    /// None of it holds before this is through.
    pub(crate) flush: Option<Flush>,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(context: &'a StepContext, job: Job<'a>) -> Self {
        let observer = Observer::new(job.locks.show_queries);
        let near = job.one_transaction && job.direction == Direction::Up;
        let reach = if near { Reach::of(job.steps.iter().map(|s| &s.kind)) } else { Reach::Anything };
        Self {
            context,
            job,
            author: Author::of(context),
            observer,
            tally: Tally::new(),
            row: None,
            replaces: None,
            before: None,
            reach,
            seen: None,
            warm: false,
            changes: None,
            settings: Vec::new(),
            kept: Vec::new(),
            effect: Effect::None,
            ran: false,
            observed: None,
            company: None,
            alone: None,
            renewed: None,
            flush: None,
        }
    }

    /// Once it is committed.
    pub(super) fn say_what_was_kept(&mut self) {
        for text in self.kept.drain(..) {
            self.context.reporter.message(text);
        }
    }

    /// Runs the script, or finds that it has been run. An error is a failed or an unknown outcome.
    pub(crate) async fn run(mut self) -> Result<Done, Outcome> {
        let found = self.until_known().await;
        let Self { observer, tally, row, before, changes, flush, .. } = self;
        observer.close().await;
        let found = found?;
        Ok(Done {
            already: found.already,
            row: found.row.or(row),
            rolled_back: found.rolled_back,
            before,
            after: found.after,
            changes,
            tally,
            flush,
        })
    }
}
