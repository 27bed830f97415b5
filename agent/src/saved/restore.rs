//! Putting back what was dropped: values into a column that is there again, rows into their table, or a whole table under
//! its name.
//!
//! Nothing that was written since is overwritten unasked. It goes in batches, block by block of what is kept, each with its
//! checkpoint in its transaction; a call ends after a while and says that there is more.

use std::time::{Duration, Instant};

use stopover_model::report::{ErrorClass, StepError};
use stopover_model::saved::{RestoredValues, SavedWhat};
use stopover_model::sql::{Name, quoted};
use tokio_postgres::types::Type;

use super::batch::{RestoreWork, note};
use super::manifest::Entry;
use super::{SCHEMA, act, anew, rows, shown_table, values};
use crate::postgres::{QueryError, Session};
use crate::step::StepContext;

/// A call goes on for so long; another goes on behind it.
const TURN: Duration = Duration::from_secs(20);
/// Of the kept table, in a batch.
const BLOCKS: i64 = 64;

/// How a batch of kept rows is put back.
pub(super) enum Way {
    /// Values into rows that are there.
    Values(values::Values),
    /// Rows that are not there.
    Rows(rows::Rows),
}

/// Puts back as much as a turn allows.
pub async fn restore(context: &StepContext, work: &RestoreWork) -> Result<RestoredValues, StepError> {
    let session = act::open(context).await?;
    let restored = on_session(&session, work).await;
    act::close(session).await;
    restored
}

async fn on_session(session: &Session, work: &RestoreWork) -> Result<RestoredValues, StepError> {
    let entry = act::find(session, &work.id).await?;
    let wanted = work.into.clone().unwrap_or_else(|| entry.table.clone());
    let target = there(session, &wanted).await.map_err(|e| e.into_step_error("look for the table"))?;
    let Some(target) = target else {
        if work.into.is_some() || entry.saved.what == SavedWhat::Table {
            return anew::make(session, &entry, &wanted, work).await;
        }
        let message = format!("there is no table {}", shown_table(&wanted));
        return Err(StepError::new(ErrorClass::Setup, message).with_hint(
            "`--into TABLE` puts the values into a table of that name, which is made when it is not there",
        ));
    };
    let Some(holder) = &entry.saved.holder else {
        let message = format!("{} was saved without a value: all of them were NULL", entry.saved.name());
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint(format!("`stopover saved show {}` has its definition", entry.saved.id)));
    };
    let holder = format!("{SCHEMA}.{}", quoted(holder));
    let way = match entry.saved.what {
        SavedWhat::Columns => Way::Values(values::plan(session, &entry, &target, work.overwrite).await?),
        SavedWhat::Table | SavedWhat::Emptied => Way::Rows(rows::plan(session, &entry, &target).await?),
    };
    in_batches(session, &entry, &holder, &target, &way, work).await
}

/// The table's name with its schema, where it is there.
async fn there(session: &Session, name: &Name) -> Result<Option<Name>, QueryError> {
    let schema = name.schema.clone().unwrap_or_else(|| "public".to_owned());
    let name = Name { schema: Some(schema), name: name.name.clone() };
    let sql = "SELECT FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind IN ('r', 'p')";
    let found = session.query(sql, &[(&name.quoted(), Type::TEXT)]).await?;
    Ok(found.first().map(|_| name))
}

async fn in_batches(
    session: &Session,
    entry: &Entry,
    holder: &str,
    target: &Name,
    way: &Way,
    work: &RestoreWork,
) -> Result<RestoredValues, StepError> {
    let began = Instant::now();
    let reading = |e: QueryError| e.into_step_error("read what is saved");
    let sql = "SELECT pg_catalog.pg_relation_size($1::pg_catalog.regclass) / pg_catalog.current_setting('block_size')::bigint";
    let size = session.query(sql, &[(&holder, Type::TEXT)]).await.map_err(reading)?;
    let blocks: i64 = size.first().map(|row| row.get(0)).unwrap_or_default();
    let mut from = if work.goes_on { entry.through.unwrap_or_default() } else { 0 };
    let mut restored = RestoredValues::default();
    while from < blocks {
        if began.elapsed() >= TURN {
            return Ok(RestoredValues { more: true, ..restored });
        }
        let through = (from + BLOCKS).min(blocks);
        let doing = format!("put values back into {}", shown_table(target));
        let part = format!("ctid >= '({from},0)'::tid AND ctid < '({through},0)'::tid");
        let batch = act::transaction(session, &doing, async || {
            let batch = match way {
                Way::Values(values) => values.batch(session, holder, &part).await?,
                Way::Rows(rows) => rows.batch(session, holder, &part).await?,
            };
            let is_last = through == blocks;
            let first = from == 0;
            note(session, entry, work, batch.restored, (!is_last).then_some(through), first).await?;
            Ok(batch)
        });
        let batch = batch.await?;
        restored.restored += batch.restored;
        restored.kept += batch.kept;
        restored.missing += batch.missing;
        from = through;
    }
    Ok(restored)
}
