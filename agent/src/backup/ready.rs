//! Whether a backup could be made: its programs, where it goes, and what the role may read. Looked at by the inspection, so
//! that nobody finds out in the middle of a window.
//!
//! Only what would fail for sure is said. What can't be found out, the backup finds out itself.

use std::time::Duration;

use rustix::fs::Access;
use stopover_model::report::{BackupHindrance, ErrorClass, StepError};

use super::{BackupSettings, prepare, programs};
use crate::postgres::{Database, Session};
use crate::scratch::identifier;
use crate::vault::Destination;

/// For a bucket to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
const MOST_NAMED: i64 = 3;

pub(crate) async fn hindrances(
    database: &Database,
    session: &Session,
    settings: &BackupSettings,
) -> Vec<BackupHindrance> {
    let mut found = Vec::new();
    if settings.command.is_none() {
        let version = u32::try_from(session.identity().version_num).unwrap_or(0);
        let programs = programs::find(&settings.programs, version).await;
        found.extend(programs.err().filter(|error| error.class == ErrorClass::Setup).map(of_error));
        found.extend(unreadable(session).await);
    }
    found.extend(destination(settings).await);
    if database.scratch().is_none() {
        found.extend(without_copies(session).await);
    }
    found
}

fn of_error(error: StepError) -> BackupHindrance {
    BackupHindrance { what: error.message, way_out: error.hint.unwrap_or_default(), of_copies: false }
}

async fn destination(settings: &BackupSettings) -> Option<BackupHindrance> {
    if settings.command.is_some() || matches!(settings.vault.destination, Destination::Directory(_)) {
        if let Err(error) = prepare(settings) {
            return Some(of_error(error));
        }
        let directory = &settings.directory;
        let writable = rustix::fs::access(directory, Access::WRITE_OK | Access::EXEC_OK);
        return writable.err().map(|error| BackupHindrance {
            what: format!("the agent can't write into the backup directory {}: {error}", directory.display()),
            way_out:
                "let the agent's user write to it, or set backup.destination in agent.toml to another one"
                    .to_owned(),
            of_copies: false,
        });
    }
    let Destination::Bucket(bucket) = &settings.vault.destination else { return None };
    let refused = |why: String| {
        BackupHindrance {
        what: format!("{} does not let the agent in: {why}", bucket.location("")),
        way_out: "see [backup] in agent.toml: its destination, its options, and the credentials of the agent's machine"
            .to_owned(),
        of_copies: false,
    }
    };
    match tokio::time::timeout(ANSWERS_WITHIN, bucket.names()).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(refused(error.to_string())),
        Err(_) => Some(refused(format!("no answer within {} s", ANSWERS_WITHIN.as_secs()))),
    }
}

/// `pg_dump` locks and reads every table, and stops at the first that it may not.
async fn unreadable(session: &Session) -> Option<BackupHindrance> {
    let row = session.client().query_one(UNREADABLE, &[&MOST_NAMED]).await.ok()?;
    let (count, named): (i64, Vec<String>) = (row.get("count"), row.get("named"));
    let user = &session.identity().user;
    let others = count - i64::try_from(named.len()).unwrap_or(0);
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    (count > 0).then(|| BackupHindrance {
        what: format!("{user} may not read {}{others}", named.join(", ")),
        way_out: format!("a backup reads everything: GRANT pg_read_all_data TO {}", identifier(user)),
        of_copies: false,
    })
}

const UNREADABLE: &str = "
WITH unreadable AS (
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND CASE c.relkind
          WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
          ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END)
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
          WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objid = c.oid AND deptype = 'e')
)
SELECT pg_catalog.count(*) AS count,
       coalesce((pg_catalog.array_agg(name ORDER BY name))[1:$1::pg_catalog.int8::pg_catalog.int4], '{}') AS named
FROM unreadable";

async fn without_copies(session: &Session) -> Option<BackupHindrance> {
    let sql = "SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
    let may: bool = session.client().query_one(sql, &[]).await.ok()?.get(0);
    let user = &session.identity().user;
    (!may).then(|| BackupHindrance {
        what: format!("{user} may not create databases, so that it can't be restored to be proven"),
        way_out: format!(
            "ALTER ROLE {} CREATEDB; or set scratch_url of this database in agent.toml to another server, where it may",
            identifier(user)
        ),
        of_copies: true,
    })
}

#[cfg(test)]
mod tests {
    use stopover_model::event::StepKind;

    use super::*;
    use crate::backup::tests::place;
    use crate::postgres::{Purpose, SessionName};
    use crate::testing::{context, prepared};

    async fn looked(url: &str, settings: &BackupSettings) -> Vec<BackupHindrance> {
        let context = context(url, StepKind::Inspect);
        let session = context.database.connect(&Purpose::reading(&SessionName::of(&context))).await.unwrap();
        hindrances(&context.database, &session, settings).await
    }

    #[tokio::test]
    async fn what_a_backup_would_fail_of_is_said_before_it_is_made() {
        let source = prepared("CREATE TABLE secret (a int); CREATE TABLE \"Open\" (a int)").await;
        let mut place = place();
        assert_eq!(looked(source.url(), &place.settings).await, []);

        let admin = source.client().await.unwrap();
        let role = format!("reader_{}", source.name());
        let made = format!("CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON \"Open\" TO {role}");
        admin.batch_execute(&made).await.unwrap();
        let port = source.config().get_ports()[0];
        let url = format!("host=127.0.0.1 port={port} user={role} dbname={} password=x", source.name());
        place.settings.directory = "/nowhere/at/all".into();
        let found = looked(&url, &place.settings).await;
        let [unreadable, directory, copies] = &found[..] else { panic!("{found:?}") };
        assert_eq!(unreadable.what, format!("{role} may not read public.secret"));
        assert!(unreadable.way_out.contains("GRANT pg_read_all_data TO"), "{unreadable:?}");
        assert!(directory.what.contains("/nowhere/at/all is not there"), "{directory:?}");
        assert!(copies.of_copies && copies.what.contains("may not create databases"), "{copies:?}");
        admin.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    }
}
