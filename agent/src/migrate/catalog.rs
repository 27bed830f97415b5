//! Indexes and partitions as the catalogs know them, by the names that a script uses.

use std::time::Duration;

use stopover_model::sql::Name;
use tokio_postgres::types::Type;

use super::stop::Stop;
use crate::postgres::Session;

/// Where to look for indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    Table(Name),
    /// With the table where the server puts its long values.
    TableAndToast(Name),
    TableOfIndex(Name),
    Schema(String),
    Database,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) oid: String,
    pub(super) name: String,
    /// With its schema, quoted.
    qualified: String,
    pub(super) valid: bool,
    pub(super) definition: String,
    /// The session that builds it at this moment.
    pub(super) built_by: Option<i32>,
}

impl Index {
    /// An interrupted REINDEX CONCURRENTLY leaves these: `users_pkey_ccnew`, `users_pkey_ccold1`.
    pub(super) fn is_reindex_leftover(&self) -> bool {
        let stem = self.name.trim_end_matches(|c: char| c.is_ascii_digit());
        !self.valid && (stem.ends_with("_ccnew") || stem.ends_with("_ccold"))
    }
}

/// Where the server knows an object that belongs to no schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Registry {
    Databases,
    Tablespaces,
    /// Of this database.
    Subscriptions,
}

const COLUMNS: &str = "SELECT c.oid::text, c.relname::text, pg_catalog.format('%I.%I', n.nspname, c.relname), \
        i.indisvalid, pg_catalog.pg_get_indexdef(c.oid), \
        (SELECT p.pid FROM pg_catalog.pg_stat_progress_create_index p \
         WHERE p.index_relid = c.oid AND p.pid <> pg_catalog.pg_backend_pid() LIMIT 1) \
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";

pub(super) async fn indexes(session: &Session, scope: &Scope) -> Result<Vec<Index>, Stop> {
    let (condition, name) = match scope {
        Scope::Table(name) => ("i.indrelid = pg_catalog.to_regclass($1)", name.quoted()),
        Scope::TableAndToast(name) => (
            "i.indrelid IN (SELECT unnest(ARRAY[oid, reltoastrelid]) FROM pg_catalog.pg_class \
             WHERE oid = pg_catalog.to_regclass($1))",
            name.quoted(),
        ),
        Scope::TableOfIndex(name) => (
            "i.indrelid = (SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass($1))",
            name.quoted(),
        ),
        Scope::Schema(name) => (
            "i.indrelid IN (SELECT unnest(ARRAY[t.oid, t.reltoastrelid]) FROM pg_catalog.pg_class t \
             JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace WHERE tn.nspname = $1)",
            name.clone(),
        ),
        Scope::Database => ("$1 = ''", String::new()),
    };
    find(session, &format!("{COLUMNS} WHERE {condition} ORDER BY c.relname"), &name).await
}

pub(super) async fn index_named(session: &Session, name: &Name) -> Result<Option<Index>, Stop> {
    let sql = format!("{COLUMNS} WHERE c.oid = pg_catalog.to_regclass($1)");
    Ok(find(session, &sql, &name.quoted()).await?.pop())
}

async fn find(session: &Session, sql: &str, name: &str) -> Result<Vec<Index>, Stop> {
    let rows = session.client().query_typed(sql, &[(&name, Type::TEXT)]).await;
    let rows = rows.map_err(|e| Stop::query(session.error(e), "look at the indexes"))?;
    let read = rows.iter().map(|row| Index {
        oid: row.get(0),
        name: row.get(1),
        qualified: row.get(2),
        valid: row.get(3),
        definition: row.get::<_, Option<String>>(4).unwrap_or_default(),
        built_by: row.get(5),
    });
    Ok(read.collect())
}

/// Drops an index without standing in anybody's way.
pub(super) async fn drop_index(session: &Session, index: &Index, lock_timeout: Duration) -> Result<(), Stop> {
    let doing = format!("drop the invalid index {}", index.name);
    let client = session.client();
    let set = format!("SET lock_timeout = {}", lock_timeout.as_millis().max(1));
    let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", index.qualified);
    client.batch_execute(&set).await.map_err(|e| Stop::query(session.error(e), &doing))?;
    client.batch_execute(&drop).await.map_err(|e| Stop::query(session.error(e), &doing))
}

/// The mark of the object of this name, which another one of the name would not have; None where there is none.
pub(super) async fn registered(
    session: &Session,
    registry: Registry,
    name: &str,
) -> Result<Option<String>, Stop> {
    let sql = match registry {
        Registry::Databases => "SELECT oid::text FROM pg_catalog.pg_database WHERE datname = $1",
        Registry::Tablespaces => "SELECT oid::text FROM pg_catalog.pg_tablespace WHERE spcname = $1",
        // Not everybody may read their oids.
        Registry::Subscriptions => {
            "SELECT subname::text FROM pg_catalog.pg_subscription WHERE subname = $1 AND subdbid = \
             (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
        }
    };
    let row = session.client().query_typed_opt(sql, &[(&name, Type::TEXT)]).await;
    let row = row.map_err(|e| Stop::query(session.error(e), &format!("look for {name}")))?;
    Ok(row.map(|row| row.get(0)))
}

/// Whether the partition is attached, and if so, whether an interrupted detaching is pending.
pub(super) async fn partition(
    session: &Session,
    table: &Name,
    partition: &Name,
) -> Result<Option<bool>, Stop> {
    // The column is as young as the statement.
    let sql = "SELECT inhdetachpending FROM pg_catalog.pg_inherits \
               WHERE inhparent = pg_catalog.to_regclass($1) AND inhrelid = pg_catalog.to_regclass($2)";
    if session.identity().version_num < 140_000 {
        return Ok(Some(false));
    }
    let parameters: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)] =
        &[(&table.quoted(), Type::TEXT), (&partition.quoted(), Type::TEXT)];
    let row = session.client().query_typed_opt(sql, parameters).await;
    let row = row.map_err(|e| Stop::query(session.error(e), "look at the partition"))?;
    Ok(row.map(|row| row.get(0)))
}

/// Ends what an interrupted DETACH PARTITION CONCURRENTLY began.
pub(super) async fn finalize_detach(
    session: &Session,
    table: &Name,
    partition: &Name,
    lock_timeout: Duration,
) -> Result<(), Stop> {
    let doing = "end the interrupted detaching of the partition";
    let client = session.client();
    let set = format!("SET lock_timeout = {}", lock_timeout.as_millis().max(1));
    let sql = format!("ALTER TABLE {} DETACH PARTITION {} FINALIZE", table.quoted(), partition.quoted());
    client.batch_execute(&set).await.map_err(|e| Stop::query(session.error(e), doing))?;
    client.batch_execute(&sql).await.map_err(|e| Stop::query(session.error(e), doing))
}
