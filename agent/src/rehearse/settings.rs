//! What scripts find set in the real database by the role's and the database's own settings, set for the copy as well: a
//! dump does not bring them along, and without the same `search_path` the same script is another one.

use stopover_model::report::StepError;
use stopover_model::sql::quoted;
use tokio_postgres::types::Type;

use crate::postgres::{Database, Purpose, QueryError, Session, SessionName};
use crate::step::StepContext;

/// Sets them. What could not be set is said.
pub(super) async fn take_over(
    context: &StepContext,
    copy: &Database,
    system_identifier: &str,
) -> Result<(), StepError> {
    let name = SessionName::of(context);
    let purpose = Purpose::reading(&name).expecting_system(Some(system_identifier));
    let live = context.database.connect(&purpose).await?;
    let found = read(&live).await;
    live.close().await;
    let found = found.map_err(|e| e.into_step_error("read the database's settings"))?;
    let session = copy.connect(&Purpose::writing(&name)).await?;
    let refused = write(&session, &found).await;
    session.close().await;
    let refused = refused.map_err(|e| e.into_step_error("set the copy's settings"))?;
    if !refused.is_empty() {
        let names = refused.join(", ");
        context.reporter.message(format!(
            "the copy's role may not set {names} as the database has it: scripts find the server's own there"
        ));
    }
    Ok(())
}

async fn read(live: &Session) -> Result<Vec<(String, String)>, QueryError> {
    let rows = live.query(SETTINGS, &[]).await?;
    let user = quoted(&live.identity().user);
    let value = |name: &str, value: String| match name {
        // The copy's role has another name.
        "search_path" => value.replace("\"$user\"", &user),
        _ => value,
    };
    Ok(rows.iter().map(|row| (row.get(0), value(row.get(0), row.get(1)))).collect())
}

/// Gives the names of those that may not be set.
async fn write(session: &Session, settings: &[(String, String)]) -> Result<Vec<String>, QueryError> {
    let database = quoted(&session.identity().database);
    let mut refused = Vec::new();
    for (name, value) in settings {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(name, Type::TEXT), (value, Type::TEXT)];
        let set = session.query("SELECT pg_catalog.set_config($1, $2, false)", &parameters).await;
        let kept = match set {
            Ok(_) => {
                let sql = format!("ALTER DATABASE {database} SET {} FROM CURRENT", parameter(name));
                session.client().batch_execute(&sql).await.map_err(|e| session.error(e))
            }
            Err(error) => Err(error),
        };
        match kept {
            Ok(()) => {}
            Err(error) if error.is_lost() => return Err(error),
            Err(_) => refused.push(name.clone()),
        }
    }
    Ok(refused)
}

/// A parameter's name, which may have an extension's before it.
fn parameter(name: &str) -> String {
    name.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// Less what every session of the product's sets by itself.
const SETTINGS: &str = "\
SELECT name, setting || CASE WHEN unit IS NULL OR vartype = 'bool' THEN '' \
        WHEN unit IN ('8kB', '16kB', '32kB') THEN '' ELSE unit END \
FROM pg_catalog.pg_settings \
WHERE (source IN ('database', 'user', 'database user') OR name = 'search_path') \
    AND name NOT IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', \
        'idle_session_timeout', 'default_transaction_read_only', 'client_min_messages', 'application_name', \
        'default_transaction_isolation', 'standard_conforming_strings', 'synchronous_commit') ORDER BY name";
