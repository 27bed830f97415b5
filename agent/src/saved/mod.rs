//! What a migration or a rollback is about to drop is kept: in the transaction of the drop, in the schema
//! `stopover_saved` of the same database, with a manifest that says what it was. Both are there, or neither.
//!
//! Values are kept under their key in tables of plain types, so that nothing of them stands in the way of what the script
//! drops next, or goes along with it. Nothing here decides whether something is dropped, and nothing is purged unasked.
//!
//! ```text
//! large tables: ahead (in batches, before the transaction)
//! probe (in a savepoint, taken back) -> Gone -> Relation -> holder + manifest -> the drop -> look: all of it was kept
//!                                          restore <- manifest -> purge
//! ```

mod act;
pub(crate) mod ahead;
mod anew;
mod back;
mod batch;
mod columns_of;
mod definition;
mod keep;
mod look;
mod manifest;
mod purge;
mod relation;
mod restore;
mod rows;
mod since;
mod typed;
mod values;

pub(crate) use back::{Made, Return, elsewhere};
pub use batch::RestoreWork;
pub(crate) use keep::{CHANGED_SETTINGS, Keeper, SMALL, Target, WRITING, targets};
pub(crate) use look::{Gone, Looked, look};
pub use manifest::list;
pub(crate) use manifest::{Entry, dropped_by_rollbacks, of_rollbacks};
pub use purge::purge;
pub(crate) use purge::purge_older;
pub use restore::restore;

use stopover_model::sql::Name;

use crate::postgres::{QueryError, Session};

/// The schema of what is kept.
pub const SCHEMA: &str = "stopover_saved";

/// Makes the schema where it is not there, in the transaction of the caller.
pub(crate) async fn ensure(session: &Session) -> Result<(), QueryError> {
    if exists(session).await? {
        return Ok(());
    }
    let made = session.client().batch_execute(include_str!("schema.sql")).await;
    made.map_err(|e| session.error(e))
}

/// A table as people write it: without `public.`.
fn shown_table(table: &Name) -> String {
    let schema = table.schema.clone().filter(|schema| schema != "public");
    Name { schema, name: table.name.clone() }.to_string()
}

/// Whether anything was ever kept here.
pub(crate) async fn exists(session: &Session) -> Result<bool, QueryError> {
    let sql = "SELECT pg_catalog.to_regclass('stopover_saved.manifest') IS NOT NULL";
    Ok(session.query(sql, &[]).await?.first().is_some_and(|row| row.get(0)))
}
