//! What is worth a person's attention before the work begins.

use stopover_model::report::StepError;

use crate::postgres::{Session, step_error};

pub(super) async fn warnings(
    session: &Session,
    system_identifier: &str,
    tables: &[u32],
) -> Result<Vec<String>, StepError> {
    let mut warnings = Vec::new();
    if system_identifier.is_empty() {
        warnings.push(format!(
            "{} may not read the cluster's system identifier, so that a swapped database would go unnoticed; \
             as a superuser: GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO the agent's user",
            session.identity().user
        ));
    }
    warnings.extend(plpgsql(session).await?);
    warnings.extend(blindness(session).await?);
    warnings.extend(invalid_indexes(session, tables).await?);
    Ok(warnings)
}

/// After an upgrade of the packages under a running server, its libraries may not load any more.
async fn plpgsql(session: &Session) -> Result<Option<String>, StepError> {
    match session
        .client()
        .batch_execute("DO LANGUAGE plpgsql $$ BEGIN END $$")
        .await
        .map_err(|e| session.error(e))
    {
        Ok(()) => Ok(None),
        Err(error) if error.is_lost() => Err(error.into_step_error("could not try PL/pgSQL")),
        Err(error) => Ok(Some(format!(
            "PL/pgSQL does not run: {error}; was the server's package upgraded under a running server? Restart PostgreSQL"
        ))),
    }
}

/// The sessions of other roles show no transactions to those who may not see them.
async fn blindness(session: &Session) -> Result<Option<String>, StepError> {
    let row = session.client().query_one(BLINDNESS, &[]).await;
    let blind: bool =
        row.map_err(|error| step_error("could not look at the agent's privileges", error))?.get(0);
    Ok(blind.then(|| {
        format!(
            "{} can't see the transactions of other roles, so that long ones may be missing here; GRANT pg_read_all_stats to it",
            session.identity().user
        )
    }))
}

async fn invalid_indexes(session: &Session, tables: &[u32]) -> Result<Vec<String>, StepError> {
    let rows = session.client().query(INVALID, &[&tables]).await;
    let rows = rows.map_err(|error| step_error("could not look for invalid indexes", error))?;
    let warning = |row: &tokio_postgres::Row| {
        let (index, table): (String, String) = (row.get(0), row.get(1));
        format!(
            "the index {index} on {table} is invalid: its build did not finish, and it only costs; drop it, or reindex it"
        )
    };
    Ok(rows.iter().map(warning).collect())
}

const BLINDNESS: &str = "
SELECT NOT pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AND EXISTS (
    SELECT FROM pg_catalog.pg_stat_activity
    WHERE datname = pg_catalog.current_database() AND usename <> current_user AND pid <> pg_catalog.pg_backend_pid())";

const INVALID: &str = "
SELECT x.indexrelid::regclass::text, x.indrelid::regclass::text
FROM pg_catalog.pg_index x
WHERE x.indrelid = ANY ($1::oid[]) AND NOT x.indisvalid
ORDER BY 1";
