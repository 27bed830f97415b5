//! The moment that a backup is of: a snapshot that a session of ours holds, so that the dump and whoever compares with it
//! later see the same rows.
//!
//! The session carries the step's name, by which the product's own checks know it for a backup; it ends with the step.

use stopover_model::report::StepError;

use crate::fingerprint::{self, Fingerprint};
use crate::postgres::{Purpose, Session, SessionName, step_error};
use crate::step::StepContext;

/// A held snapshot, and the schema that it sees.
pub(super) struct Snapshot {
    session: Session,
    id: String,
    pub(super) schema: Fingerprint,
}

impl Snapshot {
    pub(super) async fn hold(context: &StepContext, system_identifier: &str) -> Result<Self, StepError> {
        let purpose = Purpose::reading(&SessionName::of(context)).expecting_system(Some(system_identifier));
        let session = context.database.connect(&purpose).await?;
        let client = session.client();
        let failed = |error| step_error("hold a snapshot for the backup", error);
        client.batch_execute(&begin(&session, None)).await.map_err(failed)?;
        let row =
            client.query_typed_one("SELECT pg_catalog.pg_export_snapshot()", &[]).await.map_err(failed)?;
        let id = row.get(0);
        let schema = fingerprint::take_inside(&session).await;
        let schema = schema.map_err(|error| error.into_step_error("look at the schema"))?;
        Ok(Self { session, id, schema })
    }

    /// As `SET TRANSACTION SNAPSHOT` and `pg_dump --snapshot` take it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Inside of its transaction.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    pub(super) async fn let_go(self) {
        self.session.close().await;
    }
}

/// Begins a transaction in which every value is written in the same way, whatever the role's and the database's settings
/// are, and whoever else looks. A table that its policies would hide rows of is an error.
pub(super) fn begin(session: &Session, snapshot: Option<&str>) -> String {
    let import = snapshot.map(|id| format!("SET TRANSACTION SNAPSHOT '{id}';")).unwrap_or_default();
    // From 17 on a transaction may have a deadline of its own.
    let deadline =
        if session.identity().version_num >= 170_000 { "SET LOCAL transaction_timeout = 0;" } else { "" };
    format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {import} {deadline} {SETTINGS}")
}

const SETTINGS: &str = "
SET LOCAL search_path = ''; SET LOCAL row_security = off; SET LOCAL lock_timeout = 0; SET LOCAL extra_float_digits = 3;
SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL IntervalStyle = 'postgres'; SET LOCAL TimeZone = 'UTC';
SET LOCAL bytea_output = 'hex'; SET LOCAL lc_monetary = 'C'; SET LOCAL quote_all_identifiers = off";
