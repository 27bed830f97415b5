//! Values into rows that are there, found by their key.

use stopover_model::report::{ErrorClass, StepError};
use stopover_model::sql::{Name, quoted};

use super::batch::{Batch, Replace};
use super::columns_of::{There, columns_of};
use super::manifest::Entry;
use super::relation::Column;
use super::shown_table;
use crate::postgres::{QueryError, Session};

/// The two statements of a batch, but for its part of what is kept.
#[derive(Debug)]
pub(super) struct Values {
    update: String,
    count: String,
}

pub(super) async fn plan(
    session: &Session,
    entry: &Entry,
    target: &Name,
    replace: &Replace,
) -> Result<Values, StepError> {
    let shown = shown_table(target);
    if entry.key.is_empty() {
        let message = format!("nothing identifies the rows that {} was saved with", entry.saved.name());
        return Err(StepError::new(ErrorClass::Setup, message).with_hint(
            "`--into TABLE` makes a table of all that was saved; put back from there what is needed",
        ));
    }
    let there = columns_of(session, target).await.map_err(|e| e.into_step_error("look at the table"))?;
    let column = |name: &str| there.iter().find(|column| column.name == name);
    if let Some(key) = entry.key.iter().find(|key| column(&key.name).is_none()) {
        let message = format!("{shown} has no column {}, by which the rows would be found again", key.name);
        return Err(StepError::new(ErrorClass::Setup, message)
            .with_hint("`--into TABLE` puts the values into another table"));
    }
    let both: Vec<(&Column, &There)> =
        entry.columns.iter().filter_map(|saved| Some((saved, column(&saved.name)?))).collect();
    let writable: Vec<_> =
        both.iter().filter(|(saved, now)| !saved.generated && !now.fixed && !now.numbered).collect();
    if writable.is_empty() {
        let names: Vec<&str> = entry.columns.iter().map(|column| column.name.as_str()).collect();
        let message = format!("{shown} has no column {} to put the values into", names.join(", "));
        return Err(StepError::new(ErrorClass::Setup, message).with_hint(format!(
            "apply the migration that makes it first; `stopover saved show {}` has its definition",
            entry.saved.id
        )));
    }
    let keys: Vec<String> = entry
        .key
        .iter()
        .filter_map(|key| {
            let now = column(&key.name)?;
            let name = quoted(&key.name);
            Some(format!("t.{name} = {}", cast(&format!("s.{name}"), key, now)))
        })
        .collect();
    let mut sets = Vec::new();
    let mut wanted = Vec::new();
    let mut differs = Vec::new();
    for (saved, now) in writable {
        let name = quoted(&saved.name);
        let value = cast(&format!("s.{name}"), saved, now);
        let differing =
            format!("(num_nonnulls(s.{name}) = 1 AND t.{name}::text IS DISTINCT FROM ({value})::text)");
        let is_default =
            now.default.as_ref().map(|default| format!(" OR t.{name}::text = ({default})::text"));
        let is_default = is_default.unwrap_or_default();
        let free = match replace {
            Replace::Everything => "true".to_owned(),
            Replace::Nothing => format!("(num_nulls(t.{name}) = 1{is_default})"),
            Replace::Older(since) => format!("(num_nulls(t.{name}) = 1{is_default} OR {})", since.is_older()),
        };
        sets.push(format!("{name} = CASE WHEN {differing} AND {free} THEN {value} ELSE t.{name} END"));
        wanted.push(format!("({differing} AND {free})"));
        differs.push(differing);
    }
    let (on, table) = (keys.join(" AND "), target.quoted());
    let first_key = quoted(&entry.key[0].name);
    Ok(Values {
        update: format!(
            "UPDATE {table} t SET {} FROM (SELECT * FROM HOLDER WHERE PART) s WHERE {on} AND ({})",
            sets.join(", "),
            wanted.join(" OR ")
        ),
        count: format!(
            "SELECT count(*) FILTER (WHERE t.{first_key} IS NULL), count(*) FILTER (WHERE t.{first_key} IS NOT NULL AND ({})) \
             FROM (SELECT * FROM HOLDER WHERE PART) s LEFT JOIN {table} t ON {on}",
            differs.join(" OR ")
        ),
    })
}

impl Values {
    pub(super) async fn batch(
        &self,
        session: &Session,
        holder: &str,
        part: &str,
    ) -> Result<Batch, QueryError> {
        let of = |sql: &str| sql.replacen("HOLDER", holder, 1).replacen("PART", part, 1);
        let restored = session.client().execute_typed(&of(&self.update), &[]).await;
        let restored = restored.map_err(|e| session.error(e))?;
        let left = session.client().query_typed_one(&of(&self.count), &[]).await;
        let left = left.map_err(|e| session.error(e))?;
        let number = |at: usize| u64::try_from(left.get::<_, i64>(at)).unwrap_or_default();
        Ok(Batch { restored, missing: number(0), kept: number(1) })
    }
}

/// A kept value as the column takes it.
pub(super) fn cast(value: &str, saved: &Column, now: &There) -> String {
    if saved.as_text || saved.type_name != now.type_name {
        format!("{value}::{}", now.type_name)
    } else {
        value.to_owned()
    }
}
