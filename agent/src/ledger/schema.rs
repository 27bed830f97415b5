//! The ledger's tables, made on first use, and brought up to this version where an earlier agent made them.

use stopover_model::report::{ErrorClass, StepError};
use stopover_model::sql::quoted;
use tokio_postgres::types::Type;

use crate::postgres::{QueryError, Session};

/// The schema of all that the product keeps in a database.
pub const SCHEMA: &str = "stopover";

const TABLES: i64 = 4;

/// The tables as they were when the ledger did not write down its version, which was 1.
const FIRST: &str = include_str!("schema.sql");
/// What came with each version after it. Upgrades are never edited: they have run.
const UPGRADES: [(i32, &str); 4] = [
    (2, include_str!("upgrades/2_origin.sql")),
    (3, include_str!("upgrades/3_backfill.sql")),
    (4, include_str!("upgrades/4_schema.sql")),
    (5, include_str!("upgrades/5_lanes.sql")),
];

/// The version that this agent writes.
pub(super) const VERSION: i32 = UPGRADES[UPGRADES.len() - 1].0;

/// What is in the database.
struct Found {
    schema: bool,
    tables: i64,
    has_version: bool,
}

/// Makes the ledger where it is not there, and upgrades an older one, in one transaction. The caller holds the session
/// lock, so nobody else is making it.
pub async fn ensure(session: &Session) -> Result<(), StepError> {
    let found = look(session).await?;
    let there = found.tables == TABLES;
    if !there && found.schema {
        let message =
            format!("the schema {SCHEMA} is in the database, and it does not hold Stopover's ledger");
        return Err(StepError::new(ErrorClass::Setup, message).with_hint(
            "rename that schema when it is somebody else's; drop it when it is the rest of a ledger that nobody needs",
        ));
    }
    let version = match (there, found.has_version) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => version(session).await.map_err(|e| e.into_step_error("read the ledger's version"))?,
    };
    if version == VERSION {
        return Ok(());
    }
    if version > VERSION {
        let message =
            format!("the ledger in the database has version {version}, and this agent knows {VERSION}");
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint("a newer agent was here: install its version, or a later one, on this machine too"));
    }
    let result = session.client().batch_execute(&script_from(version)).await;
    let Err(error) = result.map_err(|e| session.error(e)) else { return Ok(()) };
    // Where the session is gone the transaction is as well.
    let _ = session.client().batch_execute("ROLLBACK").await;
    Err(not_made(session, error, version))
}

fn not_made(session: &Session, error: QueryError, version: i32) -> StepError {
    let denied = error.sqlstate() == Some("42501");
    let attempt = if version == 0 { "make the ledger" } else { "upgrade the ledger" };
    let mut error = error.into_step_error(&format!("{attempt} (the schema {SCHEMA})"));
    let identity = session.identity();
    if denied && version == 0 {
        let (database, user) = (quoted(&identity.database), quoted(&identity.user));
        error.hint = Some(format!("GRANT CREATE ON DATABASE {database} TO {user}"));
    } else if denied {
        error.hint = Some(format!(
            "another database user made the ledger: connect as that user once, or GRANT that role TO {}",
            quoted(&identity.user)
        ));
    }
    error
}

/// All that is missing after a version.
fn script_from(version: i32) -> String {
    let first = if version == 0 { FIRST } else { "" };
    let upgrades: String =
        UPGRADES.iter().filter(|(to, _)| *to > version).map(|(_, upgrade)| *upgrade).collect();
    format!(
        "BEGIN; {first} {upgrades} INSERT INTO stopover.version (version) VALUES ({VERSION}) \
         ON CONFLICT (only_row) DO UPDATE SET version = {VERSION}; COMMIT;"
    )
}

async fn look(session: &Session) -> Result<Found, StepError> {
    let sql = "SELECT count(DISTINCT n.oid) > 0, count(c.oid) FILTER (WHERE c.relname <> 'version'), \
                   count(c.oid) FILTER (WHERE c.relname = 'version') > 0 \
               FROM pg_catalog.pg_namespace n LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid \
                   AND c.relname IN ('migration', 'statement', 'fence', 'history', 'version') AND c.relkind = 'r' \
               WHERE n.nspname = $1";
    let row = session.client().query_typed_one(sql, &[(&SCHEMA, Type::TEXT)]).await;
    let row = row.map_err(|e| session.error(e).into_step_error("look for the ledger"))?;
    Ok(Found { schema: row.get(0), tables: row.get(1), has_version: row.get(2) })
}

async fn version(session: &Session) -> Result<i32, QueryError> {
    let row = session.client().query_typed_opt("SELECT version FROM stopover.version", &[]).await;
    let row = row.map_err(|e| session.error(e))?;
    row.map(|row| row.get(0)).ok_or_else(|| {
        QueryError::Answer("stopover.version in the database has no row; was it edited by hand?".to_owned())
    })
}
