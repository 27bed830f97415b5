//! A named place in the WAL, for a recovery to the moment before the first statement.

use stopover_model::report::{ErrorClass, RestorePoint, StepError};
use tokio_postgres::types::Type;

use crate::postgres::{Purpose, QueryError, SessionName};
use crate::step::StepContext;

/// Refuses early what would fail at the end.
pub(super) async fn check(context: &StepContext) -> Result<(), StepError> {
    let session = context.database.connect(&Purpose::writing(&SessionName::of(context))).await?;
    let row = session.client().query_typed_one(MAY, &[]).await.map_err(|error| session.error(error));
    let user = session.identity().user.clone();
    session.close().await;
    let row = row.map_err(|error| error.into_step_error("ask whether a restore point can be made"))?;
    if !row.get::<_, bool>(0) {
        let message = format!("{user} may not make a restore point");
        return Err(StepError::new(ErrorClass::Setup, message).with_hint(format!(
            "as a superuser: GRANT EXECUTE ON FUNCTION pg_catalog.pg_create_restore_point(text) TO \"{user}\"; or take \
             restore_point out of the stage's backup"
        )));
    }
    if row.get::<_, &str>(1) == "minimal" {
        let message = "no restore point can be made: the server's wal_level is minimal";
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint("set wal_level = replica there, or take restore_point out of the stage's backup"));
    }
    Ok(())
}

/// Makes it, named after the deployment and the attempt.
pub(super) async fn make(context: &StepContext) -> Result<RestorePoint, StepError> {
    let session = context.database.connect(&Purpose::writing(&SessionName::of(context))).await?;
    let name = format!("stopover_{}_{}_{}", context.deployment, context.step.stage.0, context.attempt);
    let made: Result<_, QueryError> = session.query(MAKE, &[(&name, Type::TEXT)]).await;
    session.close().await;
    let rows = made.map_err(|error| error.into_step_error("make a restore point"))?;
    let lsn = rows.first().map(|row| row.get(0)).unwrap_or_default();
    Ok(RestorePoint { name, lsn })
}

const MAY: &str =
    "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_create_restore_point(text)', 'EXECUTE'),
    pg_catalog.current_setting('wal_level')";

const MAKE: &str = "SELECT pg_catalog.pg_create_restore_point($1)::text";
