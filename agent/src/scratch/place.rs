//! The server where scratch databases are made, and the one session there that makes, marks and drops one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stopover_model::id::{AgentName, EnvironmentName};
use stopover_model::report::{ErrorClass, StepError};
use tokio::time::{Instant, sleep};
use tokio_postgres::types::Type;

use super::name::{LOCK_CLASS, ScratchName};
use crate::postgres::{Database, Purpose, Session, SessionName};
use crate::step::StepContext;

/// For the session of a run that has just ended, or was killed, to let its lock go.
const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);
/// Of a comment on a scratch database, before its facts.
const SAYS: &str = "Stopover's scratch copy, dropped by itself: ";

/// Where scratch databases are made.
pub(super) struct Home {
    pub(super) database: Arc<Database>,
    pub(super) session: Session,
    pub(super) purpose: Purpose,
}

/// The facts in a scratch database's comment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    environment: EnvironmentName,
    agent: AgentName,
    pub(super) of: String,
    pub(super) since: Timestamp,
    /// Nobody works with it now, and a rehearsal will.
    pub(super) kept: bool,
}

impl Mark {
    pub(super) fn of(context: &StepContext, kept: bool) -> Self {
        Self {
            environment: context.environment.clone(),
            agent: context.agent.clone(),
            of: context.step.database.to_string(),
            since: Timestamp::now(),
            kept,
        }
    }

    pub(super) fn read(comment: &str) -> Option<Self> {
        serde_json::from_str(comment.strip_prefix(SAYS)?).ok()
    }
}

impl Home {
    pub(super) async fn open(context: &StepContext) -> Result<Self, StepError> {
        let database = context.database.scratch().unwrap_or(&context.database);
        Self::open_as(database, Purpose::writing(&SessionName::of(context))).await
    }

    pub(super) async fn open_as(database: &Arc<Database>, purpose: Purpose) -> Result<Self, StepError> {
        let session = database.connect(&purpose).await?;
        Ok(Self { database: Arc::clone(database), session, purpose })
    }

    /// Takes the lock that tells everybody that the scratch has a living owner. It is let go with the session.
    pub(super) async fn hold(&self, name: &ScratchName) -> Result<(), StepError> {
        let began = Instant::now();
        while !try_lock(&self.session, name).await? {
            if began.elapsed() >= PATIENCE {
                let message = format!("somebody else works with the scratch database {}", name.as_str());
                return Err(StepError::new(ErrorClass::Lock, message).with_hint(
                    "is a second agent of this environment at work on the same database? Stop one of them",
                ));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Says on the database itself whose it is.
    pub(super) async fn mark(&self, name: &ScratchName, mark: &Mark) -> Result<(), StepError> {
        let facts = serde_json::to_string(mark).unwrap_or_default();
        let comment = literal(&format!("{SAYS}{facts}"));
        self.run("mark the scratch database", &format!("COMMENT ON DATABASE {} IS {comment}", name.as_str()))
            .await
    }

    /// What its comment says; None where there is no such database, or it has none.
    pub(super) async fn mark_of(&self, name: &ScratchName) -> Result<Option<Mark>, StepError> {
        let rows = self.session.query(COMMENT, &[(&name.as_str(), Type::TEXT)]).await;
        let rows = rows.map_err(|error| error.into_step_error("look for the scratch database"))?;
        Ok(rows.first().and_then(|row| Mark::read(row.get::<_, Option<&str>>(0)?)))
    }

    /// Drops the database, whoever is connected to it, and then its role.
    pub(super) async fn drop(&self, name: &ScratchName) -> Result<(), StepError> {
        let name = name.as_str();
        if self.session.identity().version_num >= 130_000 {
            self.run(DROPPING, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?;
        } else {
            let sql = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = $1";
            let ended = self.session.query(sql, &[(&name, Type::TEXT)]).await;
            ended.map_err(|error| error.into_step_error(DROPPING))?;
            self.run(DROPPING, &format!("DROP DATABASE IF EXISTS {name}")).await?;
        }
        let role = self.session.query(ROLE, &[(&name, Type::TEXT)]).await;
        if role.map_err(|error| error.into_step_error(DROPPING))?.is_empty() {
            return Ok(());
        }
        // What the copy's code may have made in this very database goes with it.
        self.run(DROPPING, &format!("DROP OWNED BY {name}; DROP ROLE {name}")).await
    }

    pub(super) async fn run(&self, doing: &str, sql: &str) -> Result<(), StepError> {
        let done = self.session.client().batch_execute(sql).await;
        done.map_err(|error| self.session.error(error).into_step_error(doing))
    }
}

const DROPPING: &str = "drop the scratch database";

const COMMENT: &str =
    "SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = $1";

const ROLE: &str = "SELECT FROM pg_catalog.pg_roles WHERE rolname = $1";

/// Takes the lock of a scratch database when nobody in the whole server has it.
pub(super) async fn try_lock(session: &Session, name: &ScratchName) -> Result<bool, StepError> {
    let rows = session.query(TRY, &[(&LOCK_CLASS, Type::INT4), (&name.lock_key(), Type::INT4)]).await;
    let rows = rows.map_err(|error| error.into_step_error("take the scratch database's lock"))?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// An advisory lock is one database's, and a scratch database may be seen from several.
const TRY: &str = "
SELECT NOT EXISTS (
    SELECT FROM pg_catalog.pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND pid <> pg_catalog.pg_backend_pid()
      AND classid = $1::int8::oid AND objid = ($2::int8 & 4294967295)::oid
) AND pg_catalog.pg_try_advisory_lock($1, $2)";

/// As a literal that means the same whatever the settings are.
pub(super) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
