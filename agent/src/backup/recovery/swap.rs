//! Puts a restored database in the place of the live one.
//!
//! Both get their new names in one transaction, so that whatever fails or is killed when, one whole database has the live
//! name. While it waits for sessions to end, new ones wait for it: nobody slips in between, and nobody is locked out for longer.

use std::time::Duration;

use jiff::Timestamp;
use stopover_model::report::{ErrorClass, Session as Other, StepError};
use tokio::time::Instant;

use super::place::{Beside, maintenance};
use crate::postgres::{Session, read_session, session_columns, step_error};
use crate::step::StepContext;

/// For sessions to end that were asked to.
const PATIENCE: Duration = Duration::from_mins(1);
const BETWEEN: Duration = Duration::from_millis(200);
/// So many are named.
const MOST_NAMED: usize = 10;

/// Refuses to go on while others are in the live database.
pub(super) async fn nobody_else(context: &StepContext, session: &Session) -> Result<(), StepError> {
    let others = others(context, session).await?;
    if others.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = others.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    let more = others.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let message =
        format!("others are in the database {}: {}{more}", context.database.database(), named.join("; "));
    Err(StepError::new(ErrorClass::Lock, message)
        .with_hint("stop the applications first, or end their sessions with --disconnect-others"))
}

/// Exchanges the names. Gives back what the old one is called now.
pub(super) async fn swap(
    context: &StepContext,
    beside: &Beside,
    disconnect_others: bool,
) -> Result<String, StepError> {
    let live = context.database.database();
    if beside.session.identity().database == live {
        let message = "the agent can connect to no database but the one that is to be replaced";
        return Err(StepError::new(ErrorClass::Setup, message).with_hint(
            "GRANT CONNECT ON DATABASE postgres to the agent's role, and let pg_hba.conf admit it",
        ));
    }
    let kept = kept_name(live, Timestamp::now());
    let deadline = Instant::now() + PATIENCE;
    loop {
        if disconnect_others {
            end_others(context, &beside.session).await?;
        } else {
            nobody_else(context, &beside.session).await?;
        }
        match exchange(beside, live, &kept).await {
            Ok(()) => return Ok(kept),
            Err(error) if error.sqlstate.as_deref() == Some("55006") && Instant::now() < deadline => {
                tokio::time::sleep(BETWEEN).await;
            }
            // Whether it took place is seen in the names alone.
            Err(error) => return if took_place(context, &kept).await? { Ok(kept) } else { Err(error) },
        }
    }
}

async fn exchange(beside: &Beside, live: &str, kept: &str) -> Result<(), StepError> {
    let row = beside.session.client().query_one(EXCHANGE, &[&beside.name, &live, &kept]).await;
    let statements: String = row.map_err(|error| step_error("write down the new names", error))?.get(0);
    // Several statements in one message are one transaction.
    beside.run(&statements, "give the databases their new names").await
}

async fn took_place(context: &StepContext, kept: &str) -> Result<bool, StepError> {
    let session = maintenance(context).await?;
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)";
    let row = session.client().query_one(sql, &[&kept]).await;
    let there = row.map_err(|error| step_error("look what the databases are called", error))?.get(0);
    session.close().await;
    Ok(there)
}

async fn others(context: &StepContext, session: &Session) -> Result<Vec<Other>, StepError> {
    let sql = OTHERS.replace("{columns}", &session_columns("false"));
    let rows = session.client().query(&sql, &[&context.database.database()]).await;
    let rows = rows.map_err(|error| step_error("look who is in the database", error))?;
    Ok(rows.iter().map(read_session).collect())
}

async fn end_others(context: &StepContext, session: &Session) -> Result<(), StepError> {
    let ended = session.client().query(END, &[&context.database.database()]).await;
    ended.map(drop).map_err(|error| {
        step_error("end the sessions of others", error).with_hint(
            "GRANT pg_signal_backend to the agent's role; sessions of superusers only a superuser ends",
        )
    })
}

/// Unique, within what PostgreSQL takes, and nothing that has to be quoted: `users_before_20261123_052239`.
fn kept_name(live: &str, now: Timestamp) -> String {
    const LONGEST: usize = 63;
    let ending = now.strftime("_before_%Y%m%d_%H%M%S").to_string();
    let mut room = LONGEST - ending.len();
    while !live.is_char_boundary(room.min(live.len())) {
        room -= 1;
    }
    format!("{}{ending}", &live[..room.min(live.len())])
}

/// The live one's own comment stays with its name.
const EXCHANGE: &str = "
SELECT pg_catalog.format(
    'COMMENT ON DATABASE %1$I IS %4$L; ALTER DATABASE %2$I RENAME TO %3$I; ALTER DATABASE %1$I RENAME TO %2$I',
    $1::text, $2::text, $3::text, pg_catalog.shobj_description(d.oid, 'pg_database'))
FROM pg_catalog.pg_database d WHERE d.datname = $2::text";

const OTHERS: &str = "
SELECT {columns} FROM pg_catalog.pg_stat_activity a
WHERE a.datname = $1 AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type IN ('client backend', 'walsender')
    AND a.application_name NOT LIKE 'stopover%'
ORDER BY a.backend_start";

const END: &str = "
SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a
WHERE a.datname = $1 AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type IN ('client backend', 'walsender')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_one_gets_a_name_that_fits() {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(kept_name("users", at), "users_before_20231114_221320");
        for long in ["x".repeat(63), "é".repeat(31)] {
            let kept = kept_name(&long, at);
            assert!(kept.len() <= 63 && kept.ends_with("_before_20231114_221320"), "{kept}");
        }
    }
}
