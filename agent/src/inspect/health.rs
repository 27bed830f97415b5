//! What is worth a person's attention before the work begins.

use stopover_model::report::StepError;

use crate::postgres::{Session, blindness, step_error};

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
    let blind = blindness(session).await;
    warnings.extend(blind.map_err(|e| e.into_step_error("could not look at the agent's privileges"))?);
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

const INVALID: &str = "
SELECT x.indexrelid::regclass::text, x.indrelid::regclass::text
FROM pg_catalog.pg_index x
WHERE x.indrelid = ANY ($1::oid[]) AND NOT x.indisvalid
ORDER BY 1";
