//! A database that a backup is restored into: made empty beside the live one, and either given its name or dropped.
//!
//! Until it has its name it is called `stopover_restore_...` and says in its comment whose it is, so that what a killed agent
//! left is found when it starts again. As long as it is being filled, a lock in the server says that it is no leftover. Nobody
//! but its owner may connect meanwhile.

use std::sync::Arc;
use std::time::Duration;

use stopover_model::backup::RestoreTarget;
use stopover_model::id::{AgentName, BackupId};
use stopover_model::report::{ErrorClass, StepError};
use tokio::time::{Instant, sleep};

use crate::postgres::{Database, Purpose, Session, SessionName, shown, step_error};
use crate::step::StepContext;

pub(super) const PREFIX: &str = "stopover_restore_";
/// PostgreSQL cuts names behind this many bytes, and then two are the same.
const LONGEST_NAME: usize = 63;
/// Sessions of a killed agent hold their locks until the server has noticed.
const ORPHANS: Duration = Duration::from_secs(30);
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

pub(super) struct Beside {
    /// To another database than the live one, where there is one that lets it in.
    pub(super) session: Session,
    live: Arc<Database>,
    pub(super) name: String,
}

impl Beside {
    /// Makes it.
    pub(super) async fn create(context: &StepContext, backup: &BackupId) -> Result<Self, StepError> {
        let live = Arc::clone(&context.database);
        let session = maintenance(context).await?;
        let name = format!("{PREFIX}{}", context.deployment);
        let held = session.client().query_one(HOLD, &[&name]).await;
        held.map_err(|error| step_error("take the lock of the new database", error))?;
        let sql = session
            .client()
            .query_one(CREATE, &[&name, &live.database()])
            .await
            .map_err(|error| step_error("read how the database was made", error))?;
        let place = Self { session, live, name };
        place.run(sql.get(0), "make a database to restore into").await.map_err(may_not_create)?;
        let comment = format!(
            "{} restores the backup {backup} here; it can be dropped when that agent does not run",
            whose(&context.agent)
        );
        let made = place.statement(COMMENT, &[&place.name, &comment], "mark the new database").await;
        match made {
            Ok(()) => Ok(place),
            Err(error) => Err(place.dropped(context, error).await),
        }
    }

    pub(super) fn database(&self) -> Arc<Database> {
        Arc::new(self.live.beside(&self.name, None))
    }

    /// Gives it the owner, the privileges and the settings that the live one has. What can't be carried over is said.
    pub(super) async fn carry_over(&self, context: &StepContext) -> Result<(), StepError> {
        let rows = self.session.client().query(CARRY_OVER, &[&self.name, &self.live.database()]).await;
        for row in rows.map_err(|error| step_error("read the database's settings", error))? {
            let statement: String = row.get(0);
            if let Err(error) = self.run(&statement, "carry over a setting").await {
                let text = format!("not carried over: {}; {}", shown(&statement, 300), error.message);
                context.reporter.message(text);
            }
        }
        Ok(())
    }

    /// Gives it this name, which nobody else has.
    pub(super) async fn called(&self, name: &str) -> Result<(), StepError> {
        self.run("BEGIN", "begin to name the database").await?;
        let named = async {
            self.statement(TAKE_COMMENT, &[&self.name, &self.live.database()], "take its mark away").await?;
            self.statement(RENAME, &[&self.name, &name], "give the database its name").await
        };
        match named.await {
            Ok(()) => self.run("COMMIT", "give the database its name").await,
            Err(error) => {
                let _ = self.run("ROLLBACK", "take back the name").await;
                Err(error)
            }
        }
    }

    /// Drops it after this error, and says where that fails as well.
    pub(super) async fn dropped(self, context: &StepContext, error: StepError) -> StepError {
        let left = match drop_database(&self.session, &self.name).await {
            Ok(()) => None,
            // The session may be what was lost.
            Err(_) => match maintenance(context).await {
                Ok(session) => drop_database(&session, &self.name).await.err(),
                Err(error) => Some(error),
            },
        };
        match left {
            None => error,
            Some(left) => {
                context.reporter.message(format!(
                    "the database {} is still there, and goes when the agent starts again: {}",
                    self.name, left.message
                ));
                error
            }
        }
    }

    /// Runs what a query answers with: a statement, its names quoted by PostgreSQL.
    pub(super) async fn statement(
        &self,
        query: &str,
        names: &[&(dyn tokio_postgres::types::ToSql + Sync)],
        doing: &str,
    ) -> Result<(), StepError> {
        let row = self.session.client().query_one(query, names).await.map_err(|e| step_error(doing, e))?;
        self.run(row.get(0), doing).await
    }

    pub(super) async fn run(&self, statement: &str, doing: &str) -> Result<(), StepError> {
        let done = self.session.client().batch_execute(statement).await;
        done.map_err(|error| self.session.error(error).into_step_error(doing))
    }
}

/// Whether a database of this name could be made.
pub(super) async fn check_name(session: &Session, target: &RestoreTarget) -> Result<(), StepError> {
    let RestoreTarget::NewDatabase { name } = target else { return Ok(()) };
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0') || name.starts_with(PREFIX) {
        let message = format!("`{}` can't be the name of the new database", shown(name, 200));
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint(format!("use 1 to {LONGEST_NAME} bytes that do not begin with {PREFIX}")));
    }
    let row = session.client().query_one(EXISTS, &[name]).await;
    if row.map_err(|error| step_error("look for the new database's name", error))?.get(0) {
        let message = format!("there is a database {} already, and none is overwritten", shown(name, 63));
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint("choose another name; over the live database itself goes --over-live"));
    }
    Ok(())
}

/// A session from which databases can be made, renamed and dropped. From the live one that is all but renaming itself.
pub(super) async fn maintenance(context: &StepContext) -> Result<Session, StepError> {
    let purpose = Purpose::writing(&name_of(context));
    for database in ["postgres", "template1"] {
        if context.database.database() == database {
            continue;
        }
        if let Ok(session) = context.database.beside(database, None).connect(&purpose).await {
            return Ok(session);
        }
    }
    Ok(context.database.connect(&purpose).await?)
}

pub(super) fn name_of(context: &StepContext) -> SessionName {
    SessionName { step: "restore".to_owned(), ..SessionName::of(context) }
}

/// Drops what an earlier process of this agent left, from the server that this database is on.
pub async fn drop_leftovers(database: &Database, agent: &AgentName) -> Result<Vec<String>, StepError> {
    let session = database.connect(&Purpose::tidying()).await?;
    let begun = Instant::now();
    let mut gone = Vec::new();
    loop {
        let mut held = false;
        for (name, is_held) in leftovers(&session, agent).await? {
            if is_held {
                held = true;
            } else {
                drop_database(&session, &name).await?;
                gone.push(name);
            }
        }
        if !held || begun.elapsed() > ORPHANS {
            session.close().await;
            return Ok(gone);
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

/// Each with whether somebody has its lock.
async fn leftovers(session: &Session, agent: &AgentName) -> Result<Vec<(String, bool)>, StepError> {
    let pattern = format!("{}%", PREFIX.replace('_', r"\_"));
    let rows = session.client().query(LEFTOVERS, &[&pattern, &format!("{} restores ", whose(agent))]).await;
    let rows = rows.map_err(|error| step_error("look for databases of interrupted restores", error))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn drop_database(session: &Session, name: &str) -> Result<(), StepError> {
    let doing = "drop the database of the restore";
    // It may be in a transaction that failed.
    let _ = session.client().batch_execute("ROLLBACK").await;
    let row = session.client().query_one(DROP, &[&name]).await.map_err(|error| step_error(doing, error))?;
    let dropped = session.client().batch_execute(row.get(0)).await;
    dropped.map_err(|error| session.error(error).into_step_error(doing))
}

fn may_not_create(error: StepError) -> StepError {
    match error.sqlstate.as_deref() {
        Some("42501") => error.with_hint("the agent's role needs CREATEDB: ALTER ROLE ... CREATEDB"),
        _ => error,
    }
}

fn whose(agent: &AgentName) -> String {
    format!("Stopover's agent {agent}")
}

const EXISTS: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)";

/// As the live one was made. What a version does not know of is not in its row.
const CREATE: &str = "
SELECT pg_catalog.format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L CONNECTION LIMIT 100',
        $1::text, pg_catalog.pg_encoding_to_char(d.encoding), coalesce(d.datcollate, 'C'), coalesce(d.datctype, 'C'))
    || CASE p.provider
        WHEN 'i' THEN pg_catalog.format(' LOCALE_PROVIDER icu ICU_LOCALE %L', p.locale)
        WHEN 'b' THEN pg_catalog.format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', p.locale)
        ELSE '' END
    || CASE WHEN p.rules IS NULL THEN '' ELSE pg_catalog.format(' ICU_RULES %L', p.rules) END
FROM pg_catalog.pg_database d,
    LATERAL (SELECT j ->> 'datlocprovider' AS provider, coalesce(j ->> 'datlocale', j ->> 'daticulocale') AS locale,
                 j ->> 'daticurules' AS rules
             FROM pg_catalog.to_jsonb(d) j) p
WHERE d.datname = $2::text";

const COMMENT: &str = "SELECT pg_catalog.format(
    'REVOKE ALL ON DATABASE %1$I FROM PUBLIC; COMMENT ON DATABASE %1$I IS %2$L', $1::text, $2::text)";

/// The live one's comment, or none.
const TAKE_COMMENT: &str = "
SELECT pg_catalog.format('COMMENT ON DATABASE %I IS %L', $1::text,
    (SELECT pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database WHERE datname = $2::text))";

const RENAME: &str = "SELECT pg_catalog.format('ALTER DATABASE %I RENAME TO %I', $1::text, $2::text)";

const DROP: &str = "
SELECT pg_catalog.format('DROP DATABASE IF EXISTS %I', $1::text)
    || CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 130000 THEN ' WITH (FORCE)' ELSE '' END";

/// "REST", and the database's name.
const HOLD: &str = "SELECT pg_catalog.pg_advisory_lock(1380275028, pg_catalog.hashtext($1::text))";

/// An advisory lock is one database's, and is seen from all. What has no comment was killed between its making and its
/// marking, whoever was at it.
const LEFTOVERS: &str = "
SELECT d.datname::text, EXISTS (
    SELECT FROM pg_catalog.pg_locks l
    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.classid = 1380275028::oid
      AND l.objid = (pg_catalog.hashtext(d.datname::text)::int8 & 4294967295)::oid)
FROM pg_catalog.pg_database d, LATERAL (SELECT pg_catalog.shobj_description(d.oid, 'pg_database') AS text) mark
WHERE d.datname LIKE $1 AND (mark.text IS NULL OR pg_catalog.starts_with(mark.text, $2))";

/// Statements that make the new one what the live one is. Values that are lists of names are stored quoted, as `pg_dump`
/// knows as well.
const CARRY_OVER: &str = "
WITH live AS (SELECT * FROM pg_catalog.pg_database WHERE datname = $2::text), new (name) AS (VALUES ($1::text))
SELECT pg_catalog.format('ALTER DATABASE %I CONNECTION LIMIT %s', name, datconnlimit), 1 FROM live, new
UNION ALL
SELECT pg_catalog.format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO PUBLIC', name), 2 FROM live, new
WHERE live.datacl IS NULL
UNION ALL
SELECT pg_catalog.format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, name,
    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), 2
FROM live, new, pg_catalog.aclexplode(live.datacl) a
UNION ALL
SELECT pg_catalog.format('ALTER %s SET %I TO %s',
    CASE s.setrole WHEN 0 THEN pg_catalog.format('DATABASE %I', name)
        ELSE pg_catalog.format('ROLE %s IN DATABASE %I', s.setrole::regrole, name) END,
    c.key,
    CASE WHEN c.key IN ('local_preload_libraries', 'search_path', 'session_preload_libraries', 'shared_preload_libraries',
            'temp_tablespaces', 'unix_socket_directories') AND c.value <> '' THEN c.value
        ELSE pg_catalog.quote_literal(c.value) END), 3
FROM live JOIN pg_catalog.pg_db_role_setting s ON s.setdatabase = live.oid, new, pg_catalog.unnest(s.setconfig) item,
    LATERAL (SELECT pg_catalog.split_part(item, '=', 1) AS key,
                 pg_catalog.substr(item, pg_catalog.strpos(item, '=') + 1) AS value) c
UNION ALL
SELECT pg_catalog.format('ALTER DATABASE %I OWNER TO %s', name, live.datdba::regrole), 4 FROM live, new
WHERE live.datdba::regrole <> current_user::regrole
ORDER BY 2";
