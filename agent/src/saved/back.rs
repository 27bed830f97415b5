//! One kept thing on its way back into a table that is there: values into rows, or rows into the table.
//!
//! Block by block of what is kept; each batch with its checkpoint in its transaction.

use std::time::Instant;

use stopover_model::id::OperatorName;
use stopover_model::report::{ErrorClass, StepError};
use stopover_model::saved::{RestoredValues, Saved, SavedWhat};
use stopover_model::sql::{Name, quoted};
use tokio_postgres::types::Type;

use super::batch::{Batch, Replace, RestoreWork, note};
use super::manifest::Entry;
use super::since::Since;
use super::{SCHEMA, act, rows, shown_table, values};
use crate::postgres::{QueryError, Session};

/// Of the kept table, in a batch.
const BLOCKS: i64 = 64;

/// How a batch of kept rows is put back.
enum Way {
    /// Values into rows that are there.
    Values(values::Values),
    /// Rows that are not there.
    Rows(rows::Rows),
}

/// When the columns came to be into which values are put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// In the transaction that runs.
    Now,
    /// When the manifest says, if it does.
    AsNoted,
    /// Before the migration.
    Before,
}

/// It is known how the values get back; none of them is yet.
pub(crate) struct Return {
    entry: Entry,
    work: RestoreWork,
    holder: String,
    target: Name,
    way: Way,
    /// The block of what is kept from which on it goes on.
    from: i64,
    blocks: i64,
}

impl Return {
    /// Looks how. None: the table is not there. An error says why the values can't get into it.
    pub(super) async fn of(
        session: &Session,
        entry: Entry,
        work: &RestoreWork,
        replace: &Replace,
    ) -> Result<Option<Self>, StepError> {
        let wanted = work.into.clone().unwrap_or_else(|| entry.table.clone());
        let target = there(session, &wanted).await.map_err(|e| e.into_step_error("look for the table"))?;
        let Some(target) = target else { return Ok(None) };
        let Some(holder) = &entry.saved.holder else {
            let message = format!("{} was saved without a value: all of them were NULL", entry.saved.name());
            return Err(StepError::new(ErrorClass::Setup, message)
                .with_hint(format!("`stopover saved show {}` has its definition", entry.saved.id)));
        };
        let holder = format!("{SCHEMA}.{}", quoted(holder));
        let way = match entry.saved.what {
            SavedWhat::Columns => Way::Values(values::plan(session, &entry, &target, replace).await?),
            SavedWhat::Table | SavedWhat::Emptied => Way::Rows(rows::plan(session, &entry, &target).await?),
        };
        let blocks = blocks(session, &holder).await.map_err(|e| e.into_step_error("read what is saved"))?;
        let from = if work.goes_on { entry.through.unwrap_or_default() } else { 0 };
        Ok(Some(Self { entry, work: work.clone(), holder, target, way, from, blocks }))
    }

    /// The same for what a deployment puts back behind a migration. `made` says that the migration has just made the columns
    /// anew: then the values that it gave them make way, and those that others have written since stay. It goes on where it
    /// has come to.
    pub(crate) async fn behind_migration(
        session: &Session,
        entry: Entry,
        by: &OperatorName,
        made: Made,
    ) -> Result<Self, StepError> {
        let replace = match (made, entry.since.clone()) {
            (Made::Now, _) => Replace::Everything,
            (Made::AsNoted, Some(since)) => Replace::Older(since),
            (Made::Before, _) | (Made::AsNoted, None) => Replace::Nothing,
        };
        let id = entry.saved.id.clone();
        let (shown, table) = (entry.saved.name(), shown_table(&entry.table));
        let goes_on = entry.through.is_some();
        let work = RestoreWork { id: id.clone(), by: by.to_string(), into: None, overwrite: false, goes_on };
        let found = match Self::of(session, entry, &work, &replace).await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {
                let why = format!("there is no table {table} behind the migration");
                StepError::new(ErrorClass::Setup, why)
            }
            Err(error) => error,
        };
        let message = format!("{shown}, saved as {id}, can't be put back: {}", found.message);
        Err(StepError { message, ..found }.with_hint(elsewhere(&id)))
    }

    /// Notes in the transaction that runs that the migration in it has made the columns.
    pub(crate) async fn note_made(&self, session: &Session) -> Result<(), QueryError> {
        let there = "SELECT FROM pg_catalog.pg_attribute WHERE attrelid = 'stopover_saved.manifest'::pg_catalog.regclass \
                     AND attname = 'restoring_since'";
        if session.query(there, &[]).await?.is_empty() {
            let add = "ALTER TABLE stopover_saved.manifest ADD COLUMN IF NOT EXISTS restoring_since text";
            session.client().batch_execute(add).await.map_err(|e| session.error(e))?;
        }
        let since = Since::now(session).await?.written();
        let sql = "UPDATE stopover_saved.manifest SET restoring_since = $2 WHERE id = $1";
        let id = self.entry.saved.id.as_str();
        session.execute(sql, &[(&id, Type::TEXT), (&since, Type::TEXT)]).await.map(|_| ())
    }

    pub(crate) fn saved(&self) -> &Saved {
        &self.entry.saved
    }

    /// All of it, in a transaction that the caller has opened.
    pub(crate) async fn at_once(&self, session: &Session) -> Result<RestoredValues, QueryError> {
        let Batch { restored, kept, missing } = self.batch(session, "true").await?;
        note(session, &self.entry, &self.work, restored, None, true).await?;
        Ok(RestoredValues { restored, kept, missing, ..RestoredValues::default() })
    }

    /// Batch by batch, until all of it is back or the time is over.
    pub(crate) async fn turn(
        &mut self,
        session: &Session,
        until: Instant,
    ) -> Result<RestoredValues, StepError> {
        let mut restored = RestoredValues::default();
        let doing = format!("put values back into {}", shown_table(&self.target));
        while self.from < self.blocks {
            if Instant::now() >= until {
                return Ok(RestoredValues { more: true, ..restored });
            }
            let (from, through) = (self.from, (self.from + BLOCKS).min(self.blocks));
            let part = format!("ctid >= '({from},0)'::tid AND ctid < '({through},0)'::tid");
            let batch = act::transaction(session, &doing, async || {
                let batch = self.batch(session, &part).await?;
                let further = (through < self.blocks).then_some(through);
                note(session, &self.entry, &self.work, batch.restored, further, from == 0).await?;
                Ok(batch)
            });
            let batch = batch.await?;
            restored.restored += batch.restored;
            restored.kept += batch.kept;
            restored.missing += batch.missing;
            self.from = through;
        }
        Ok(restored)
    }

    async fn batch(&self, session: &Session, part: &str) -> Result<Batch, QueryError> {
        match &self.way {
            Way::Values(values) => values.batch(session, &self.holder, part).await,
            Way::Rows(rows) => rows.batch(session, &self.holder, part).await,
        }
    }
}

/// The way out where values can't get back to where they were.
pub(crate) fn elsewhere(id: &stopover_model::id::SavedId) -> String {
    format!(
        "`stopover saved restore {id} --into TABLE` puts it into a table of its own, and it counts as put back then; or \
         deploy without --restore-saved"
    )
}

/// The table's name with its schema, where it is there.
async fn there(session: &Session, name: &Name) -> Result<Option<Name>, QueryError> {
    let schema = name.schema.clone().unwrap_or_else(|| "public".to_owned());
    let name = Name { schema: Some(schema), name: name.name.clone() };
    let sql = "SELECT FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind IN ('r', 'p')";
    let found = session.query(sql, &[(&name.quoted(), Type::TEXT)]).await?;
    Ok(found.first().map(|_| name))
}

async fn blocks(session: &Session, holder: &str) -> Result<i64, QueryError> {
    let sql = "SELECT pg_catalog.pg_relation_size($1::pg_catalog.regclass) / pg_catalog.current_setting('block_size')::bigint";
    let size = session.query(sql, &[(&holder, Type::TEXT)]).await?;
    Ok(size.first().map(|row| row.get(0)).unwrap_or_default())
}
