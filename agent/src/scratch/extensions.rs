//! The extensions of a copy, made before the restore by the agent's own role: many of them only a superuser can make, and
//! a dump does not say in which version it had them.

use stopover_model::report::StepError;

use super::name::ScratchName;
use super::place::{identifier, literal};
use crate::postgres::{Session, step_error};
use crate::step::StepContext;

/// An extension of the database that is copied.
pub(super) struct Extension {
    name: String,
    version: String,
    schema: String,
}

impl Extension {
    /// Every database has it, and no dump makes it.
    fn is_in_given_schema(&self) -> bool {
        matches!(self.schema.as_str(), "pg_catalog" | "public" | "information_schema")
    }
}

/// Those of a database, in the order in which they were made.
pub(super) async fn of(session: &Session) -> Result<Vec<Extension>, StepError> {
    let sql = "SELECT e.extname::text, e.extversion, n.nspname::text
        FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY e.oid";
    let rows = session.client().query_typed(sql, &[]).await;
    let rows = rows.map_err(|error| step_error("ask for the database's extensions", error))?;
    let read =
        |row: &tokio_postgres::Row| Extension { name: row.get(0), version: row.get(1), schema: row.get(2) };
    Ok(rows.iter().map(read).collect())
}

/// Makes them where `owner` could not, and lets it use the schema `public`.
pub(super) async fn prepare(
    context: &StepContext,
    inside: &Session,
    wanted: &[Extension],
    has_public: bool,
    owner: Option<&ScratchName>,
) -> Result<Vec<String>, StepError> {
    let failed = |error| inside.error(error).into_step_error("prepare the scratch database");
    let present = of(inside).await?;
    let gone = present.iter().filter(|there| !wanted.iter().any(|e| e.name == there.name));
    let mut sql: Vec<String> =
        gone.map(|there| format!("DROP EXTENSION {}", identifier(&there.name))).collect();
    match owner {
        _ if !has_public => sql.push("DROP SCHEMA public".to_owned()),
        Some(owner) => sql.push(format!("ALTER SCHEMA public OWNER TO {}", owner.as_str())),
        None => {}
    }
    // Without powers of its own the agent's role may not be let do the first two; the comparison then says so.
    let done = inside.client().batch_execute(&sql.join("; ")).await;
    if owner.is_some() {
        done.map_err(failed)?;
    }
    let mut schemas = Vec::new();
    for extension in wanted {
        if present.iter().any(|there| there.name == extension.name && there.version == extension.version) {
            continue;
        }
        if make(context, inside, extension, owner).await && !extension.is_in_given_schema() {
            schemas.push(extension.schema.clone());
        }
    }
    if let Some(owner) = owner {
        let rows = inside.client().query_typed(GRANTS, &[]).await.map_err(failed)?;
        let grants: Vec<String> =
            rows.iter().map(|row| format!("{} TO {}", row.get::<_, &str>(0), owner.as_str())).collect();
        inside.client().batch_execute(&grants.join("; ")).await.map_err(failed)?;
    }
    Ok(schemas)
}

/// What a dump does with the objects of an extension: it fills those of its tables that are for settings, and makes
/// servers of its foreign data wrappers.
const GRANTS: &str = "
SELECT pg_catalog.format('GRANT ALL ON %s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname)
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_class c ON c.oid = ANY (e.extconfig)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'S')
UNION ALL
SELECT pg_catalog.format('GRANT USAGE ON SCHEMA %I', n.nspname)
FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_extension e ON e.extnamespace = n.oid
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT pg_catalog.format('GRANT USAGE ON FOREIGN DATA WRAPPER %I', fdwname) FROM pg_catalog.pg_foreign_data_wrapper";

/// In the version that the database has where the server has that; else in its own, as a dump does it. What fails here
/// fails again in the restore, which says why.
async fn make(
    context: &StepContext,
    inside: &Session,
    wanted: &Extension,
    owner: Option<&ScratchName>,
) -> bool {
    let (name, schema) = (identifier(&wanted.name), identifier(&wanted.schema));
    let mut before = String::new();
    if !wanted.is_in_given_schema() {
        let owner = owner.map(|owner| format!(" AUTHORIZATION {}", owner.as_str())).unwrap_or_default();
        before = format!("CREATE SCHEMA IF NOT EXISTS {schema}{owner};");
    }
    let exact = format!(
        "CREATE EXTENSION IF NOT EXISTS {name} SCHEMA {schema} VERSION {} CASCADE",
        literal(&wanted.version)
    );
    let any = format!("CREATE EXTENSION IF NOT EXISTS {name} SCHEMA {schema} CASCADE");
    let client = inside.client();
    if client.batch_execute(&format!("BEGIN; {before} {exact}; COMMIT")).await.is_ok() {
        return true;
    }
    let _ = client.batch_execute("ROLLBACK").await;
    match client.batch_execute(&format!("BEGIN; {before} {any}; COMMIT")).await {
        Ok(()) => {
            context.reporter.message(format!(
                "the scratch database's server has no version {} of the extension {}; its own is used",
                wanted.version, wanted.name
            ));
            true
        }
        Err(error) => {
            let _ = client.batch_execute("ROLLBACK").await;
            tracing::debug!(extension = wanted.name, "not made beforehand: {}", inside.error(error));
            false
        }
    }
}
