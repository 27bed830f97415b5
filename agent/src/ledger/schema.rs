//! The ledger's tables, made on first use.

use stopover_model::report::{ErrorClass, StepError};
use tokio_postgres::types::Type;

use crate::postgres::Session;

/// The schema of all that the product keeps in a database.
pub const SCHEMA: &str = "stopover";

const TABLES: i64 = 4;

/// Makes the ledger where it is not there. The caller holds the session lock, so nobody else is making it.
pub async fn ensure(session: &Session) -> Result<(), StepError> {
    let (schema, tables) = look(session).await?;
    if tables == TABLES {
        return Ok(());
    }
    if schema {
        let message =
            format!("the schema {SCHEMA} is in the database, and it does not hold Stopover's ledger");
        return Err(StepError::new(ErrorClass::Setup, message).with_hint(
            "rename that schema when it is somebody else's; drop it when it is the rest of a ledger that nobody needs",
        ));
    }
    let create = format!("BEGIN; {} COMMIT;", include_str!("schema.sql"));
    match session.client().batch_execute(&create).await {
        Ok(()) => Ok(()),
        Err(error) => {
            let error = session.error(error);
            let denied = error.sqlstate() == Some("42501");
            // Where the session is gone the transaction is as well.
            let _ = session.client().batch_execute("ROLLBACK").await;
            let mut error = error.into_step_error("make the ledger (the schema stopover)");
            if denied {
                let identity = session.identity();
                error.hint = Some(format!(
                    "GRANT CREATE ON DATABASE {} TO {}",
                    quoted(&identity.database),
                    quoted(&identity.user)
                ));
            }
            Err(error)
        }
    }
}

async fn look(session: &Session) -> Result<(bool, i64), StepError> {
    let sql = "SELECT count(DISTINCT n.oid) > 0, count(c.oid) FROM pg_catalog.pg_namespace n \
               LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid \
                   AND c.relname IN ('migration', 'statement', 'fence', 'history') AND c.relkind = 'r' \
               WHERE n.nspname = $1";
    let row = session.client().query_typed_one(sql, &[(&SCHEMA, Type::TEXT)]).await;
    let row = row.map_err(|e| session.error(e).into_step_error("look for the ledger"))?;
    Ok((row.get(0), row.get(1)))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
