//! What has to be known of a database before it is dumped.

use stopover_model::report::StepError;

use crate::postgres::{Purpose, SessionName, step_error};
use crate::step::StepContext;

/// Relations in the order in which `pg_dump` copies them, which is that of their names' bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// As the statistics have it.
    pub(crate) rows: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) server_version: String,
    pub(crate) server_version_num: u32,
    pub(crate) system_identifier: String,
    /// As PostgreSQL calls it.
    pub(crate) database: String,
    pub(crate) tables: Vec<Relation>,
    /// Of the tables' data, without indexes.
    pub(crate) tables_bytes: u64,
}

impl Facts {
    pub(crate) async fn of(context: &StepContext, system_identifier: &str) -> Result<Self, StepError> {
        let purpose = Purpose::reading(&SessionName::of(context)).expecting_system(Some(system_identifier));
        let session = context.database.connect(&purpose).await?;
        // Asking for a file's size waits for whoever alters the table; its size at the last VACUUM has to do then.
        let mut rows =
            session.client().query(&tables("coalesce(pg_catalog.pg_table_size(c.oid), 0)"), &[]).await;
        if rows.is_err() {
            let size = "c.relpages::bigint * pg_catalog.current_setting('block_size')::bigint";
            rows = session.client().query(&tables(size), &[]).await;
        }
        let rows = rows.map_err(|error| step_error("could not ask for the sizes of the tables", error))?;
        let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
        let relation = |row: &tokio_postgres::Row| Relation {
            schema: row.get(0),
            name: row.get(1),
            bytes: unsigned(row.get(2)),
            rows: unsigned(row.get(3)),
        };
        let mut tables: Vec<Relation> = rows.iter().map(relation).collect();
        tables.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        let identity = session.identity().clone();
        session.close().await;
        Ok(Self {
            server_version: identity.version,
            server_version_num: u32::try_from(identity.version_num).unwrap_or(0),
            system_identifier: identity.system_identifier.unwrap_or_default(),
            database: identity.database,
            tables_bytes: tables.iter().map(|table| table.bytes).sum(),
            tables,
        })
    }
}

fn tables(size: &str) -> String {
    format!(
        "SELECT n.nspname::text, c.relname::text, {size}, c.reltuples::bigint \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' \
           AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
    )
}
