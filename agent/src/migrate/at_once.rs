//! A migration in one transaction, on a session that the one before it has left: what guards it, its first statement and
//! what it says of itself go out together, and so do the ledger's words, the COMMIT and the look behind it.
//!
//! A COMMIT waits for the server's disk only every now and then while more migrations stand behind; none has an outcome
//! before it is there.
//!
//! Nothing is taken for granted for that: whatever comes first and fails ends the transaction, so that nothing behind it
//! takes effect. Where the answer asks for more than was sent, the migration goes on as any other does.

use stopover_model::report::Effect;
use stopover_model::sql::StatementKind;

use super::Engine;
use super::engine::Observed;
use super::execute::send;
use super::guarded::{guarded, ran};
use super::job::ScriptStep;
use super::keep;
use super::seen::SeenFromWithin;
use super::stop::Stop;
use super::transaction::{
    LEDGER_LOCK_TIMEOUT, Trouble, Watch, claim, commit_at, ended_by_script, finish, no_answer_to_commit,
    own_settings,
};
use super::waits::Waits;
use crate::fingerprint::{Fingerprint, Glance, Reach, glance};
use crate::ledger::{self, AppliedAtOnce, Direction, Opened};
use crate::postgres::{Purpose, QueryError, Session, SessionName};

/// So many migrations that are followed by others commit without waiting for the server's disk; the next one waits for all
/// of them. Nobody is told of them before.
const MOST_UNFLUSHED: usize = 15;

impl Engine<'_> {
    /// Whether the script can have changed so little that its transaction can say all of it.
    pub(super) fn goes_at_once(&self) -> bool {
        let job = &self.job;
        self.warm
            && self.before.is_some()
            && self.reach != Reach::Anything
            && job.direction == Direction::Up
            && !job.only_look
            && !job.steps.is_empty()
            && !job.steps.iter().any(keep::keeps)
            && job.restore_saved.is_none()
            && !job.migration.manifest.is_repeatable()
    }
}

pub(super) async fn attempt(engine: &mut Engine<'_>, session: &Session) -> Result<(), Trouble> {
    let steps = std::mem::take(&mut engine.job.steps);
    let ran = run_all(engine, session, &steps).await;
    engine.job.steps = steps;
    let Ran { opened, glance } = ran?;
    if glance.transaction != Some(opened.transaction) {
        return Err(ended_by_script(engine).into());
    }
    let known = engine.before.clone();
    let seen = known.as_deref().and_then(|before| {
        let looked = glance.accounted(&engine.reach, &opened.counts, before)?;
        Some(SeenFromWithin::of(before, looked))
    });
    if let (Some(seen), Some(before)) = (seen, known) {
        return finish_at_once(engine, session, &opened, &before, seen).await;
    }
    engine.seen = None;
    own_settings(session).await?;
    claim(engine, session).await?;
    finish(engine, session).await
}

struct Ran {
    opened: Opened,
    glance: Glance,
}

/// The script, from the BEGIN to what its transaction says behind it.
async fn run_all(
    engine: &mut Engine<'_>,
    session: &Session,
    steps: &[ScriptStep<'_>],
) -> Result<Ran, Trouble> {
    let Some((first, rest)) = steps.split_first() else { return Err(changed().into()) };
    if engine.context.cancel.is_cancelled() {
        return Err(Stop::cancelled(Effect::None).into());
    }
    let mut waits = Waits::together(engine.job.locks.lock_timeout);
    let begin = format!(
        "BEGIN {}; SET LOCAL lock_timeout = {}",
        engine.job.modes.sql(),
        LEDGER_LOCK_TIMEOUT.as_millis()
    );
    let (author, id, reach) = (engine.author.clone(), &engine.job.migration.id, engine.reach.clone());
    let name = SessionName::of(engine.context).to_string();
    let patience = waits.lock_timeout().as_millis().to_string();
    let open = ledger::open_at_once(session, &author, id, &name, &patience);
    // A COPY has more to say than its statement: what comes behind it must wait for that.
    let is_all = rest.is_empty() && !matches!(first.kind, StatementKind::Copy { .. });
    let look = async { if is_all { Some(glance(session, &reach).await) } else { None } };
    let (started, opened, sent, looked) = tokio::join!(
        session.client().batch_execute(&begin),
        open,
        send(engine, session, first, &mut waits),
        look
    );
    started.map_err(|e| Stop::query(session.error(e), "begin a transaction"))?;
    let opened = opened.map_err(|error| match error.sqlstate() {
        Some("22012") => changed().into(),
        _ => told_or(engine, first, error, "take the fence in the ledger"),
    })?;
    engine.tally.rows += ran(engine, first, sent)?;
    for step in rest {
        if engine.context.cancel.is_cancelled() {
            return Err(Stop::cancelled(Effect::None).into());
        }
        let watch = Watch::Number(opened.transaction);
        engine.tally.rows += guarded(engine, session, step, &mut waits, watch).await?;
    }
    let glance = match looked {
        Some(looked) => looked,
        None => glance(session, &reach).await,
    };
    let last = steps.last().unwrap_or(first);
    let glance = glance.map_err(|e| told_or(engine, last, e, "look at what was changed"))?;
    Ok(Ran { opened, glance })
}

/// The ledger's words, the COMMIT, and a look at what it has left, from a session that is as good as new by then.
async fn finish_at_once(
    engine: &mut Engine<'_>,
    session: &Session,
    opened: &Opened,
    before: &Fingerprint,
    seen: SeenFromWithin,
) -> Result<(), Trouble> {
    let job = &engine.job;
    let waits = !engine.context.pass.is_followed() || session.unflushed().count() >= MOST_UNFLUSHED;
    let applied = AppliedAtOnce {
        id: &job.migration.id,
        digest: job.migration.digest,
        variant: job.variant,
        statements: job.count(),
        transaction: opened.transaction,
        before,
        looked: &seen.looked,
        after: seen.after,
        waits,
    };
    let purpose = Purpose::writing(&SessionName::of(engine.context));
    let deadline = job.limits.commit_deadline;
    let all = async {
        tokio::join!(
            ledger::apply_at_once(session, &engine.author, applied),
            commit_at(engine, session, job.last()),
            session.renew(&purpose, true),
            ledger::look_behind(session, &job.migration.id)
        )
    };
    let Ok((words, committed, renewed, behind)) = tokio::time::timeout(deadline, all).await else {
        return Err(no_answer_to_commit(deadline));
    };
    // Whatever else went wrong, nobody knows what became of a COMMIT without an answer.
    if let Err(Trouble::Stop(Stop::LookAgain { in_doubt: true, .. })) = &committed {
        return committed;
    }
    words.map_err(|error| match error.sqlstate() {
        Some("23505") => changed().into(),
        Some("22012") => ended_by_script(engine).into(),
        _ => Trouble::ledger(error, job.last(), "write the migration into the ledger"),
    })?;
    committed?;
    if waits {
        session.unflushed().are_flushed();
    } else {
        engine.flush = Some(session.unflushed().add());
    }
    let (row, locked) = behind.map_err(|e| Stop::query(e, "look whether the migration is in the ledger"))?;
    engine.renewed = Some(locked && renewed.is_ok());
    engine.observed = Some(Observed(row));
    engine.seen = Some(seen);
    Ok(())
}

/// A query of the engine's own has failed. A request to stop the statement may have come to the one that was sent beside it.
fn told_or(engine: &Engine<'_>, step: &ScriptStep<'_>, error: QueryError, doing: &str) -> Trouble {
    match error.sqlstate() {
        Some("57014") if engine.context.cancel.is_cancelled() => Stop::cancelled(Effect::None).into(),
        Some("57014") => Trouble::Locked { index: step.index, error },
        _ => Stop::query(error, doing).into(),
    }
}

fn changed() -> Stop {
    Stop::LookAgain { why: "somebody else has changed the ledger".to_owned(), in_doubt: false }
}
