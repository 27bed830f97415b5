//! Which of a script's statements may run on copies, and with what text.

use std::collections::BTreeSet;

use stopover_model::migration::Script;
use stopover_model::sql::{AlterAction, Name, StatementKind, redirected};
use uuid::Uuid;

use super::NoSample;
use super::copy::Source;
use crate::postgres::Session;

/// The part of a script that touches the copies only.
pub(super) struct Runnable {
    /// Of the copies: a name that nobody else has, and nobody can foresee.
    pub(super) schema: String,
    pub(super) statements: Vec<Redirected>,
    /// The statement that may not be tried, where there is one.
    pub(super) ends_at: Option<u32>,
}

/// A statement, and what it says of the copies.
pub(super) struct Redirected {
    pub(super) index: u32,
    pub(super) text: String,
}

enum May {
    Run,
    /// It changes nothing that the later ones need.
    BePassedOver,
    EndHere,
}

/// Functions that are volatile and touch nothing.
const HARMLESS: [&str; 5] = ["random", "random_normal", "clock_timestamp", "timeofday", "gen_random_uuid"];

/// The statements from the first on, up to `last`.
pub(super) async fn runnable(
    session: &Session,
    script: &Script,
    sources: &[Source],
    last: u32,
) -> Result<Runnable, NoSample> {
    let tables: Vec<Name> = sources.iter().map(|source| source.name.clone()).collect();
    let schemas = schemas(session).await?;
    let schema = format!("stopover_sample_{}", Uuid::new_v4().simple());
    let mut runnable = Runnable { schema, statements: Vec::new(), ends_at: None };
    for (index, statement) in (0_u32..).zip(script.statements()).take_while(|(index, _)| *index <= last) {
        match may(&statement.kind()) {
            May::BePassedOver => continue,
            May::EndHere => return Ok(Runnable { ends_at: Some(index), ..runnable }),
            May::Run => {}
        }
        match redirected(statement.text, &tables, &schemas, &runnable.schema) {
            Some(redirected) if !calls_out(session, &redirected.called).await? => {
                runnable.statements.push(Redirected { index, text: redirected.text });
            }
            _ => return Ok(Runnable { ends_at: Some(index), ..runnable }),
        }
    }
    Ok(runnable)
}

fn may(kind: &StatementKind) -> May {
    match kind {
        StatementKind::AlterTable { actions, .. } if actions.iter().all(stays_inside) => May::Run,
        StatementKind::CreateIndex { .. }
        | StatementKind::DropIndex { .. }
        | StatementKind::CreateTable { temporary: false, .. }
        | StatementKind::CreateType { .. }
        | StatementKind::Update { .. }
        | StatementKind::Delete { .. }
        | StatementKind::Insert { .. } => May::Run,
        StatementKind::Set { .. } | StatementKind::Lock { .. } | StatementKind::Vacuum => May::BePassedOver,
        StatementKind::Other { words } if words.starts_with("COMMENT") || words.starts_with("ANALYZE") => {
            May::BePassedOver
        }
        _ => May::EndHere,
    }
}

fn stays_inside(action: &AlterAction) -> bool {
    !matches!(
        action,
        AlterAction::AttachPartition { .. }
            | AlterAction::DetachPartition { .. }
            | AlterAction::RenameTo { .. }
            | AlterAction::Other { .. }
    )
}

/// Whether something may be called that does more than answer. Functions outside of `pg_catalog` are not found on the
/// search path of a trial.
async fn calls_out(session: &Session, called: &[String]) -> Result<bool, NoSample> {
    let harmless = HARMLESS.map(str::to_owned).to_vec();
    let row =
        session.client().query_one(VOLATILE, &[&called, &harmless]).await.map_err(|e| session.error(e))?;
    Ok(row.get(0))
}

async fn schemas(session: &Session) -> Result<BTreeSet<String>, NoSample> {
    let sql = "SELECT nspname::text FROM pg_catalog.pg_namespace";
    let rows = session.client().query(sql, &[]).await.map_err(|e| session.error(e))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

const VOLATILE: &str = "
SELECT EXISTS (SELECT FROM pg_catalog.pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
               AND proname = ANY ($1::text[]) AND provolatile = 'v' AND proname <> ALL ($2::text[]))";
