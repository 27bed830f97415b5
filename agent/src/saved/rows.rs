//! Rows into a table that is there: those that it does not have.

use stopover_model::report::{ErrorClass, StepError};
use stopover_model::sql::{Name, quoted};

use super::batch::Batch;
use super::columns_of::columns_of;
use super::manifest::Entry;
use super::values::cast;
use super::{shown_table, typed};
use crate::postgres::{QueryError, Session};

/// The statement of a batch, but for its part of what is kept.
#[derive(Debug)]
pub(super) struct Rows {
    insert: String,
    values: String,
}

pub(super) async fn plan(session: &Session, entry: &Entry, target: &Name) -> Result<Rows, StepError> {
    let looking = |e: QueryError| e.into_step_error("look at the table");
    let shown = shown_table(target);
    if entry.key.is_empty() && !is_empty(session, target).await.map_err(looking)? {
        let message = format!("{shown} has rows, and nothing tells which of the saved ones it has already");
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint("`--into TABLE` puts the saved rows into another table"));
    }
    let there = columns_of(session, target).await.map_err(looking)?;
    let held = entry.columns.iter().filter(|column| !column.generated);
    let both = held.filter_map(|saved| {
        let now = there.iter().find(|now| now.name == saved.name && !now.fixed)?;
        Some((saved, now))
    });
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for (saved, now) in both {
        let name = quoted(&saved.name);
        values.push(cast(&name, saved, now));
        names.push(name);
    }
    if names.is_empty() {
        let message = format!("{shown} has none of the columns that were saved");
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint("`--into TABLE` puts the saved rows into another table"));
    }
    let insert = format!("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE", target.quoted(), names.join(", "));
    Ok(Rows { insert, values: values.join(", ") })
}

impl Rows {
    pub(super) async fn batch(
        &self,
        session: &Session,
        holder: &str,
        part: &str,
    ) -> Result<Batch, QueryError> {
        let sql = format!(
            "{} SELECT {} FROM {holder} WHERE {part} ON CONFLICT DO NOTHING",
            self.insert, self.values
        );
        let restored = typed::execute(session, &sql).await?;
        let all = typed::number(session, &format!("SELECT count(*) FROM {holder} WHERE {part}")).await?;
        Ok(Batch { restored, kept: all.saturating_sub(restored), missing: 0 })
    }
}

async fn is_empty(session: &Session, table: &Name) -> Result<bool, QueryError> {
    let sql = format!("SELECT count(*) FROM (SELECT FROM {} LIMIT 1) t", table.quoted());
    Ok(typed::number(session, &sql).await? == 0)
}
