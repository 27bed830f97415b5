//! Waiting until nobody is there beside whom nothing should begin: a dump, or a transaction that is old already.
//!
//! A strong lock is not to be had while a dump runs, and CREATE INDEX CONCURRENTLY waits for every snapshot that is older
//! than itself. Whoever waits here holds no lock on any relation and no snapshot.

use std::time::Duration;

use stopover_model::duration::human;
use stopover_model::pipeline::LockSettings;
use stopover_model::report::{Effect, ErrorClass, Progress, ProgressUnit, StepError};
use tokio::time::{Instant, sleep};

use super::stop::Stop;
use crate::postgres::{Company, Session, SessionName, Why, blindness, company};
use crate::step::StepContext;

const QUICKEST: Duration = Duration::from_millis(50);
const SLOWEST: Duration = Duration::from_secs(1);
/// The same company is told of again after this time.
const BETWEEN_LINES: Duration = Duration::from_mins(1);

/// Returns when the session finds nobody like that in its database; `before` says what waits for it. Who was just `seen`
/// is not looked for once more.
pub(super) async fn wait(
    context: &StepContext,
    locks: &LockSettings,
    session: &Session,
    before: &str,
    effect: Effect,
    mut seen: Option<Vec<Company>>,
) -> Result<(), Stop> {
    let began = Instant::now();
    let mut pause = QUICKEST;
    let mut said: Option<(Vec<i32>, Instant)> = None;
    loop {
        let there = match seen.take() {
            Some(seen) => seen,
            None => look(session, locks).await?,
        };
        if there.is_empty() {
            if said.is_some() {
                context.reporter.message(format!("nobody is in the way any more: goes on with {before}"));
            }
            return Ok(());
        }
        let waited = began.elapsed();
        if waited >= locks.lock_retry_for {
            return Err(Stop::failed(refusal(locks, &there, before).with_effect(effect)));
        }
        let pids: Vec<i32> = there.iter().map(|company| company.session.pid).collect();
        if said.as_ref().is_none_or(|(known, at)| *known != pids || at.elapsed() >= BETWEEN_LINES) {
            let who: Vec<_> = there.iter().map(|company| describe(company, locks)).collect();
            let rest = human(locks.lock_retry_for.saturating_sub(waited));
            context.reporter.message(format!("{before} waits for {}; for {rest} at most", who.join(", ")));
            said = Some((pids, Instant::now()));
        }
        progress(context, locks, &there, waited);
        tokio::select! {
            () = sleep(pause.min(locks.lock_retry_for.saturating_sub(waited))) => {}
            () = context.cancel.cancelled() => return Err(Stop::cancelled(effect)),
        }
        pause = (pause * 2).min(SLOWEST);
    }
}

pub(super) async fn look(session: &Session, locks: &LockSettings) -> Result<Vec<Company>, Stop> {
    let there = company(session, locks.oldest_transaction).await;
    there.map_err(|e| Stop::query(e, "look for dumps and old transactions"))
}

/// Says once what could not be seen, rather than pretending that nobody is there.
pub(super) async fn say_what_is_hidden(context: &StepContext, session: &Session) -> Result<(), Stop> {
    let blind = blindness(session).await;
    if let Some(text) = blind.map_err(|e| Stop::query(e, "look at the agent's privileges"))? {
        context.reporter.message(text);
    }
    Ok(())
}

fn progress(context: &StepContext, locks: &LockSettings, there: &[Company], waited: Duration) {
    let Some(first) = there.first() else { return };
    let others = if there.len() > 1 { format!(" and {} more", there.len() - 1) } else { String::new() };
    let limit = locks.lock_retry_for;
    let done = waited.as_millis() * 100 / limit.as_millis().max(1);
    context.reporter.progress(Progress {
        doing: format!(
            "waits for {}{others}, {} of {} at most",
            first.session.who(),
            human(waited),
            human(limit)
        ),
        done: u64::try_from(done).unwrap_or(100),
        total: 100,
        unit: ProgressUnit::Percent,
        backfill: None,
    });
}

/// `pid 7 (pg_dump as postgres, active for 3 s): a dump`.
fn describe(company: &Company, locks: &LockSettings) -> String {
    let Company { session, why } = company;
    match (why, session.application.parse::<SessionName>()) {
        (Why::Dump, Ok(name)) => format!("{session}: the backup of deployment {}", name.deployment),
        (Why::Dump, Err(_)) => format!("{session}: a dump"),
        (Why::Old, _) => format!("{session}: older than {}", human(locks.oldest_transaction)),
    }
}

fn refusal(locks: &LockSettings, there: &[Company], before: &str) -> StepError {
    let who: Vec<_> = there.iter().map(|company| describe(company, locks)).collect();
    let waited = match locks.lock_retry_for {
        Duration::ZERO => String::new(),
        time => format!(", in spite of waiting for {}", human(time)),
    };
    let message = format!("{before} does not begin beside {}{waited}", who.join(", "));
    StepError::new(ErrorClass::Lock, message).with_hint(hint(there))
}

/// Whom to end and how, and which setting would have waited longer.
fn hint(there: &[Company]) -> String {
    let end = |Company { session, .. }: &Company| {
        if session.is_prepared() {
            format!("ROLLBACK PREPARED {0} or COMMIT PREPARED {0}", session.state)
        } else {
            format!("SELECT pg_terminate_backend({})", session.pid)
        }
    };
    let ends: Vec<_> = there.iter().map(end).collect();
    let only_dumps = there.iter().all(|company| company.why == Why::Dump);
    let settings = if only_dumps { "lock_retry_for" } else { "lock_retry_for or oldest_transaction" };
    format!("wait for the end, or end it: {}; or raise the stage's {settings}", ends.join("; "))
}

#[cfg(test)]
mod tests {
    use stopover_model::report::Session as Other;

    use super::*;

    fn found(pid: i32, application: &str, state: &str, why: Why) -> Company {
        let session = Other {
            pid,
            user: "bob".into(),
            application: application.into(),
            state: state.into(),
            transaction_age: Duration::from_hours(1),
            query_age: Duration::ZERO,
            query: None,
        };
        Company { session, why }
    }

    #[test]
    fn a_refusal_names_whom_to_end_and_the_setting() {
        let locks = LockSettings::default();
        let dump = found(7, "pg_dump", "active", Why::Dump);
        let error = refusal(&locks, std::slice::from_ref(&dump), "statement 1 (line 1)");
        assert_eq!(
            error.message,
            "statement 1 (line 1) does not begin beside pid 7 (pg_dump as bob, active for 1h 00m): a dump, \
             in spite of waiting for 10m 00s"
        );
        assert_eq!(
            error.hint.unwrap(),
            "wait for the end, or end it: SELECT pg_terminate_backend(7); or raise the stage's lock_retry_for"
        );
        let prepared = found(0, "", "'x-1'", Why::Old);
        let hint = hint(&[dump, prepared]);
        assert!(
            hint.contains(
                "ROLLBACK PREPARED 'x-1' or COMMIT PREPARED 'x-1'; or raise the stage's lock_retry_for or old"
            ),
            "{hint}"
        );
    }

    #[test]
    fn a_backup_of_our_own_is_called_one() {
        let ours = found(7, "stopover/0123456789/rollback-backup/1/e7/3f2a9c1d", "active", Why::Dump);
        assert!(describe(&ours, &LockSettings::default()).ends_with(": the backup of deployment 0123456789"));
    }
}
