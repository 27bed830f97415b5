//! What a statement does beyond the database that it runs in: to the server's other databases and its roles, to files
//! and programs of its machine, to other servers.
//!
//! Run on a copy, it would do the same to the real thing. A function of somebody's own can't be looked into here.

use super::cursor::{Cursor, decode_identifier};
use super::do_block::strings;
use super::kind::{CopySource, StatementKind};
use super::lexer::TokenKind;
use super::split::Statement;

/// Why a statement reaches beyond its database, in a sentence's second half: "changes roles, which all databases share".
/// None: as far as can be seen it does not.
#[must_use]
pub fn outside_effect(statement: &Statement<'_>) -> Option<String> {
    let kind = statement.kind();
    of_kind(&kind, statement.text).map(str::to_owned).or_else(|| of_calls(&kind, statement.text))
}

const ROLES: &str = "changes roles, which all databases of the server share";
const DATABASES: &str = "changes a database as a whole, by its name";
const TABLESPACES: &str = "changes tablespaces, which all databases of the server share";
const SUBSCRIPTIONS: &str = "reaches the server that a subscription takes from";
const PREPARED: &str = "ends or leaves a prepared transaction, which the whole server shares";

fn of_kind(kind: &StatementKind, text: &str) -> Option<&'static str> {
    match kind {
        StatementKind::AlterSystem => Some("changes the settings of the whole server"),
        StatementKind::CreateDatabase { .. }
        | StatementKind::DropDatabase { .. }
        | StatementKind::AlterDatabaseSetTablespace => Some(DATABASES),
        StatementKind::CreateTablespace { .. } | StatementKind::DropTablespace { .. } => Some(TABLESPACES),
        StatementKind::CreateSubscription { .. }
        | StatementKind::AlterSubscription { .. }
        | StatementKind::DropSubscription { .. } => Some(SUBSCRIPTIONS),
        StatementKind::FinishPrepared | StatementKind::PrepareTransaction => Some(PREPARED),
        StatementKind::Copy { source: CopySource::Server | CopySource::Out, .. } => of_copy(text),
        StatementKind::Other { words } => of_words(words, text),
        _ => None,
    }
}

/// COPY reads a file of the server's for the database alone; a program may do anything.
fn of_copy(text: &str) -> Option<&'static str> {
    let at = Cursor::new(text);
    if at.has_words(&["program"]) {
        Some("runs a program on the server's machine")
    } else if at.has_words(&["to"]) && !at.has_words(&["to", "stdout"]) {
        Some("writes a file on the server's machine")
    } else {
        None
    }
}

fn of_words(words: &str, text: &str) -> Option<&'static str> {
    let (verb, object) = words.split_once(' ').unwrap_or((words, ""));
    let object = object.split(' ').next().unwrap_or_default();
    let at = Cursor::new(text);
    match (verb, object) {
        _ if words.ends_with("USER MAPPING") => None,
        ("CREATE" | "ALTER" | "DROP", "ROLE" | "USER" | "GROUP") => Some(ROLES),
        ("DROP", "OWNED") | ("REASSIGN", _) => {
            Some("changes what a role owns or may do, in the whole server's catalogs as well")
        }
        ("ALTER", "DATABASE") => Some(DATABASES),
        ("CREATE" | "ALTER" | "DROP", "TABLESPACE") => Some(TABLESPACES),
        ("IMPORT", _) => Some("asks another server"),
        ("GRANT" | "REVOKE", _) if !at.has_words(&["on"]) => Some(ROLES),
        ("GRANT" | "REVOKE" | "COMMENT" | "SECURITY", _) => of_object(at),
        _ => None,
    }
}

/// GRANT ... ON, COMMENT ON and SECURITY LABEL ... ON name what they are about behind ON.
fn of_object(mut at: Cursor<'_>) -> Option<&'static str> {
    while !at.word("on") {
        at.next()?;
    }
    if at.word("database") {
        Some(DATABASES)
    } else if at.word("tablespace") {
        Some(TABLESPACES)
    } else if at.word("role") {
        Some(ROLES)
    } else if at.word("parameter") {
        Some("changes who may set parameters of the whole server")
    } else {
        None
    }
}

/// By the functions that it calls; the body of a DO block is looked through as well.
fn of_calls(kind: &StatementKind, text: &str) -> Option<String> {
    // What a CREATE FUNCTION holds does not run.
    if matches!(kind, StatementKind::Other { words } if words.starts_with("CREATE")) {
        return None;
    }
    let called = called_outside(text);
    if called.is_some() || !matches!(kind, StatementKind::Do { .. }) {
        return called;
    }
    strings(text).find_map(|(_, body)| called_outside(&body))
}

fn called_outside(text: &str) -> Option<String> {
    let mut at = Cursor::new(text);
    let (mut schema, mut name): (Option<String>, Option<String>) = (None, None);
    let mut behind_point = false;
    while let Some(token) = at.next() {
        match token.kind {
            TokenKind::Symbol(b'(') => {
                if let Some(why) = name.as_deref().and_then(|name| of_function(schema.as_deref(), name)) {
                    return Some(why);
                }
                (schema, name) = (None, None);
            }
            TokenKind::Symbol(b'.') => {
                schema = name.take();
                behind_point = true;
                continue;
            }
            _ => {
                schema = schema.filter(|_| behind_point);
                name = decode_identifier(token, at.text(token));
            }
        }
        behind_point = false;
    }
    None
}

fn of_function(schema: Option<&str>, name: &str) -> Option<String> {
    let in_schema = |names: &[&str]| schema.is_some_and(|schema| names.contains(&schema));
    let what = match name {
        _ if name == "dblink" || name.starts_with("dblink_") => "reaches another database",
        "lo_export" | "pg_file_write" | "pg_file_rename" | "pg_file_unlink" => {
            "writes files on the server's machine"
        }
        "schedule" | "unschedule" | "alter_job" | "schedule_in_database" if in_schema(&["cron"]) => {
            "changes jobs, which run in the database itself"
        }
        "http" | "http_get" | "http_post" | "http_put" | "http_patch" | "http_delete" | "http_head" => {
            "asks a server on the network"
        }
        _ if in_schema(&["net"]) && name.starts_with("http_") => "asks a server on the network",
        _ if in_schema(&["aws_s3", "aws_lambda", "azure_storage"]) => "reaches a cloud's services",
        "pg_reload_conf"
        | "pg_rotate_logfile"
        | "pg_switch_wal"
        | "pg_promote"
        | "pg_create_restore_point"
        | "pg_backup_start"
        | "pg_start_backup" => "acts on the whole server",
        "pg_terminate_backend" | "pg_cancel_backend" => "ends the work of other sessions",
        _ if name.contains("_replication_slot") || name.starts_with("pg_replication_origin_") => {
            "changes replication, which the whole server shares"
        }
        _ => return None,
    };
    let name = schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
    Some(format!("calls {name}, which {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn effect(sql: &str) -> Option<String> {
        outside_effect(&split(sql).unwrap()[0])
    }

    #[test]
    fn what_all_databases_share_is_told_apart() {
        for (sql, expected) in [
            ("CREATE ROLE app", "roles"),
            ("create user app password 'x'", "roles"),
            ("ALTER USER app SET search_path = x", "roles"),
            ("DROP GROUP g", "roles"),
            ("GRANT admins TO anna WITH ADMIN OPTION", "roles"),
            ("REVOKE admins FROM anna", "roles"),
            ("COMMENT ON ROLE app IS 'x'", "roles"),
            ("REASSIGN OWNED BY a TO b", "owns"),
            ("DROP OWNED BY a", "owns"),
            ("GRANT CONNECT ON DATABASE app TO x", "a database as a whole"),
            ("ALTER DATABASE app SET work_mem = '1MB'", "a database as a whole"),
            ("COMMENT ON DATABASE app IS 'x'", "a database as a whole"),
            ("CREATE DATABASE other", "a database as a whole"),
            ("DROP DATABASE other", "a database as a whole"),
            ("CREATE TABLESPACE t LOCATION '/x'", "tablespaces"),
            ("ALTER TABLESPACE t RENAME TO u", "tablespaces"),
            ("GRANT CREATE ON TABLESPACE t TO x", "tablespaces"),
            ("ALTER SYSTEM SET work_mem = '1MB'", "settings of the whole server"),
            ("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p", "subscription"),
            ("ALTER SUBSCRIPTION s DISABLE", "subscription"),
            ("COPY t FROM PROGRAM 'curl x'", "runs a program"),
            ("COPY (SELECT 1) TO '/tmp/x'", "writes a file"),
            ("COPY t TO PROGRAM 'cat'", "runs a program"),
            ("IMPORT FOREIGN SCHEMA s FROM SERVER x INTO y", "another server"),
            ("COMMIT PREPARED 'x'", "prepared transaction"),
            ("SELECT lo_export(1, '/tmp/x')", "calls lo_export, which writes files"),
            ("SELECT * FROM dblink('x', 'SELECT 1') AS t (a int)", "calls dblink"),
            ("SELECT cron.schedule('x', '* * * * *', 'SELECT 1')", "calls cron.schedule, which changes jobs"),
            ("SELECT net.http_post('x')", "network"),
            ("SELECT pg_catalog . pg_reload_conf ()", "calls pg_catalog.pg_reload_conf"),
            ("DO $$ BEGIN PERFORM dblink_exec('x', 'y'); END $$", "calls dblink_exec"),
            ("UPDATE t SET a = (SELECT pg_create_physical_replication_slot('x'))", "replication"),
        ] {
            let found = effect(sql).unwrap_or_else(|| panic!("{sql} was taken for harmless"));
            assert!(found.contains(expected), "{sql} gave {found}");
        }
    }

    #[test]
    fn what_stays_inside_is_rehearsed() {
        for sql in [
            "ALTER TABLE t ADD COLUMN role text",
            "GRANT SELECT ON t TO app",
            "REVOKE ALL ON SCHEMA s FROM PUBLIC",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app",
            "CREATE USER MAPPING FOR app SERVER s",
            "COMMENT ON TABLE t IS 'on database x'",
            "COPY t FROM STDIN",
            "COPY t FROM '/tmp/x'",
            "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ SELECT dblink('x', 'y') $$",
            "SELECT schedule('x')",
            "SELECT 'dblink('",
            "CREATE EXTENSION dblink",
            "NOTIFY x",
            "CREATE PUBLICATION p FOR ALL TABLES",
            "UPDATE t SET dblink = 1 WHERE (a = 1)",
            "DO $$ BEGIN UPDATE t SET a = 1; END $$",
        ] {
            assert_eq!(effect(sql), None, "{sql}");
        }
    }
}
