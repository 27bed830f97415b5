//! Compares a restored copy with the database that it is of, at the backup's own snapshot: every row of every table, the
//! sequences, the large objects, and the schema.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use stopover_model::report::{ErrorClass, Progress, ProgressUnit, StepError};

use super::contents::{self, Rows, Sequences, Table};
use super::snapshot::{self, Snapshot};
use crate::fingerprint::{self, changes};
use crate::postgres::{Database, Purpose, Session, SessionName};
use crate::step::StepContext;

/// Of so many tables a manifest keeps what they held; it is to stay a page of text.
const MOST_KEPT: usize = 10_000;
/// So many differences are named.
const MOST_NAMED: usize = 20;

/// What a database holds, as far as a backup is to hold it too.
pub(super) struct Expected {
    pub(super) tables: Vec<Table>,
    /// Of each table.
    pub(super) rows: Vec<Rows>,
    /// None: the backup is not to hold them.
    large_objects: Option<Rows>,
    sequences_before: Sequences,
    invalid_indexes: Vec<String>,
}

/// The same, as a manifest keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contents {
    /// By their names in SQL.
    tables: BTreeMap<String, Rows>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    large_objects: Option<Rows>,
}

/// What is found out before the dump begins, beside which others go on.
pub(super) struct Beginning {
    pub(super) tables: Vec<Table>,
    sequences: Sequences,
    invalid_indexes: Vec<String>,
    whole: bool,
}

/// What was found equal.
pub(super) struct Equal {
    pub(super) tables: u64,
    pub(super) rows: u64,
    pub(super) sequences: u64,
    pub(super) large_objects: u64,
}

impl Beginning {
    /// `only`: the rows of these tables alone are in the backup.
    pub(super) async fn look(snapshot: &Snapshot, only: Option<&[String]>) -> Result<Self, StepError> {
        let session = snapshot.session();
        let mut tables = contents::tables(session).await?;
        if let Some(only) = only {
            tables.retain(|table| only.contains(&table.quoted()));
        }
        let (sequences, invalid_indexes) =
            (contents::sequences(session).await?, contents::invalid_indexes(session).await?);
        Ok(Self { tables, sequences, invalid_indexes, whole: only.is_none() })
    }

    /// Reads all rows at the snapshot, with so many sessions.
    pub(super) async fn read(
        self,
        context: &StepContext,
        snapshot: &Snapshot,
        workers: usize,
    ) -> Result<Expected, StepError> {
        let Self { tables, sequences, invalid_indexes, whole } = self;
        let rows =
            all_rows(context, &context.database, Some(snapshot.id()), &tables, workers, &|_| {}).await?;
        let missing = |table: &Table| {
            let message = format!("{} went away while it was backed up", table.shown());
            StepError::new(ErrorClass::Transient, message)
        };
        let rows = rows.into_iter().zip(&tables).map(|(rows, table)| rows.ok_or_else(|| missing(table)));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let large_objects =
            if whole { Some(contents::large_objects(snapshot.session()).await?) } else { None };
        Ok(Expected { tables, rows, large_objects, sequences_before: sequences, invalid_indexes })
    }
}

impl Expected {
    /// For the manifest.
    pub(super) fn contents(&self) -> Option<Contents> {
        let of = |(table, rows): (&Table, &Rows)| (table.quoted(), rows.clone());
        let tables = self.tables.iter().zip(&self.rows).map(of).collect();
        let contents = Contents { tables, large_objects: self.large_objects.clone() };
        (self.tables.len() <= MOST_KEPT).then_some(contents)
    }

    /// Compares the copy; what differs is named. `after` is where the sequences stood when the dump had ended.
    pub(super) async fn compare(
        &self,
        context: &StepContext,
        copy: &Database,
        snapshot: &Snapshot,
        after: &Sequences,
        workers: usize,
    ) -> Result<Equal, StepError> {
        let total = self.tables.iter().map(|table| table.bytes).sum();
        let done = AtomicU64::new(0);
        let shown = |table: &Table| {
            let done = done.fetch_add(table.bytes, Ordering::Relaxed);
            let doing = format!("comparing {}", table.shown());
            context.reporter.progress(Progress {
                doing,
                done,
                total,
                unit: ProgressUnit::Bytes,
                backfill: None,
            });
        };
        let found = all_rows(context, copy, None, &self.tables, workers, &shown).await?;
        let mut differences = self.rows_that_differ(&found);
        let session = open(context, copy, None).await?;
        differences.extend(self.other_differences(&session, after).await?);
        // The look at the schema has a transaction of its own.
        let ended = session.client().batch_execute("COMMIT").await;
        ended.map_err(|error| session.error(error).into_step_error("look at the restored copy"))?;
        differences.extend(self.schema_differences(&session, snapshot).await?);
        session.close().await;
        if differences.is_empty() {
            return Ok(Equal {
                tables: self.tables.len() as u64,
                rows: self.rows.iter().map(|rows| rows.count).sum(),
                sequences: self.sequences_before.len() as u64,
                large_objects: self.large_objects.as_ref().map_or(0, |objects| objects.count),
            });
        }
        Err(differ(&differences))
    }

    fn rows_that_differ(&self, found: &[Option<Rows>]) -> Vec<String> {
        let both = self.tables.iter().zip(&self.rows).zip(found);
        let difference = |((table, expected), found): ((&Table, &Rows), &Option<Rows>)| {
            let table = table.shown();
            match found {
                Some(found) if found == expected => None,
                Some(found) if found.count == expected.count => {
                    Some(format!("{table}: {} rows in both, with other values", found.count))
                }
                Some(found) => Some(format!(
                    "{table}: {} rows, and {} in the restored copy",
                    expected.count, found.count
                )),
                None => Some(format!("{table}: not in the restored copy as it is in the database")),
            }
        };
        both.filter_map(difference).collect()
    }

    async fn other_differences(&self, copy: &Session, after: &Sequences) -> Result<Vec<String>, StepError> {
        let found = contents::sequences(copy).await?;
        let mut differences = Vec::new();
        for (name, before) in &self.sequences_before {
            let Some(after) = after.get(name) else { continue };
            match found.get(name) {
                Some(found) if may_be(*found, *before, *after) => {}
                Some(found) => differences.push(format!(
                    "sequence {}: at {}, and at {} in the restored copy",
                    crate::postgres::shown(name, 140),
                    stands(*before),
                    stands(*found)
                )),
                None => differences.push(format!(
                    "sequence {}: not in the restored copy",
                    crate::postgres::shown(name, 140)
                )),
            }
        }
        if let Some(expected) = &self.large_objects {
            let found = contents::large_objects(copy).await?;
            if found != *expected {
                differences.push(format!(
                    "large objects: {}, and {} in the restored copy, or with other content",
                    expected.count, found.count
                ));
            }
        }
        Ok(differences)
    }

    async fn schema_differences(
        &self,
        copy: &Session,
        snapshot: &Snapshot,
    ) -> Result<Vec<String>, StepError> {
        let found = fingerprint::take(copy).await;
        let found = found.map_err(|error| error.into_step_error("look at the restored copy's schema"))?;
        // Another version of PostgreSQL may write the same definition in other words.
        let by_name_only = found.major() != snapshot.schema.major();
        let counts = |object: &str, before: Option<&String>, after: Option<&String>| {
            let both = before.is_some() && after.is_some();
            let left_out = self.invalid_indexes.iter().any(|index| index == object) && after.is_none()
                || object.starts_with("event trigger ")
                || object.starts_with("extension ") && both
                || self.large_objects.is_none() && object.starts_with("constraint ") && after.is_none();
            !(left_out || by_name_only && both)
        };
        let all = changes(&snapshot.schema.objects, &found.objects);
        let differing =
            all.iter().filter(|(object, (before, after))| counts(object, before.as_ref(), after.as_ref()));
        let named = differing.map(|(object, change)| {
            let object = crate::postgres::shown(object, 200);
            match change {
                (Some(_), None) => format!("{object}: not in the restored copy"),
                (None, _) => format!("{object}: only in the restored copy"),
                _ => format!("{object}: defined otherwise in the restored copy"),
            }
        });
        Ok(named.collect())
    }
}

/// Compares a restored copy with what the tables held when the backup was made; without that its rows are only counted.
/// Gives the number of tables and of rows that are there.
pub(super) async fn compare_later(
    context: &StepContext,
    copy: &Database,
    contents: Option<&Contents>,
    workers: usize,
) -> Result<(u64, u64), StepError> {
    let session = open(context, copy, None).await?;
    let tables = contents::tables(&session).await?;
    let large_objects = contents::large_objects(&session).await?;
    session.close().await;
    let found = all_rows(context, copy, None, &tables, workers, &|_| {}).await?;
    let found: BTreeMap<String, Rows> = tables
        .iter()
        .map(Table::quoted)
        .zip(found)
        .filter_map(|(table, rows)| Some((table, rows?)))
        .collect();
    let rows = found.values().map(|rows| rows.count).sum();
    let Some(contents) = contents else { return Ok((found.len() as u64, rows)) };
    let mut differences = Vec::new();
    for (table, expected) in &contents.tables {
        let shown = crate::postgres::shown(table, 140);
        match found.get(table) {
            Some(found) if found == expected => {}
            Some(found) if found.count == expected.count => {
                differences.push(format!("{shown}: {} rows as before, with other values", found.count));
            }
            Some(found) => {
                differences
                    .push(format!("{shown}: {} rows, and {} are restored", expected.count, found.count));
            }
            None => differences.push(format!("{shown}: it is not restored")),
        }
    }
    if contents.large_objects.as_ref().is_some_and(|expected| *expected != large_objects) {
        differences.push("large objects: others, or with other content".to_owned());
    }
    if differences.is_empty() {
        return Ok((contents.tables.len() as u64, rows));
    }
    let message = format!("what is restored differs from what was backed up: {}", some_of(&differences));
    Err(StepError::new(ErrorClass::Check, message).with_hint(
        "use another backup (`stopover backup list`); what this one gives is not what the database held",
    ))
}

/// A sequence knows no snapshot: its value in the dump is of some moment between these two looks.
fn may_be(found: Option<i64>, before: Option<i64>, after: Option<i64>) -> bool {
    if before == after {
        return found == before;
    }
    match (found, before, after) {
        (Some(found), Some(before), Some(after)) => (before.min(after)..=before.max(after)).contains(&found),
        // It gave out its first value meanwhile, or was reset.
        _ => true,
    }
}

fn stands(value: Option<i64>) -> String {
    value.map_or_else(|| "its start".to_owned(), |value| value.to_string())
}

fn some_of(differences: &[String]) -> String {
    let more = differences.len().saturating_sub(MOST_NAMED);
    let named = differences.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("; ");
    if more > 0 { format!("{named}; and {more} more") } else { named }
}

fn differ(differences: &[String]) -> StepError {
    let named = some_of(differences);
    let message = format!("the restored copy differs from the database, so the backup is none: {named}");
    StepError::new(ErrorClass::Check, message)
        .with_hint("look at what is named there: a restore in earnest would give the same; then try again")
}

/// A session in a transaction that writes values as all others do.
async fn open(
    context: &StepContext,
    database: &Database,
    snapshot: Option<&str>,
) -> Result<Session, StepError> {
    let session = database.connect(&Purpose::reading(&SessionName::of(context))).await?;
    let begun = session.client().batch_execute(&snapshot::begin(&session, snapshot)).await;
    begun.map_err(|error| session.error(error).into_step_error("begin to read rows"))?;
    Ok(session)
}

/// The rows of each table, read by several sessions, the largest tables first; None where there is no such table.
async fn all_rows(
    context: &StepContext,
    database: &Database,
    snapshot: Option<&str>,
    tables: &[Table],
    workers: usize,
    begins: &(impl Fn(&Table) + Sync),
) -> Result<Vec<Option<Rows>>, StepError> {
    let next = AtomicUsize::new(0);
    let worker = || async {
        let mut read = Vec::new();
        let mut session = None;
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(table) = tables.get(place) else { break };
            let open = match session.take() {
                Some(open) => open,
                None => open(context, database, snapshot).await?,
            };
            begins(table);
            read.push((place, rows_once(&open, table).await?));
            session = Some(open);
        }
        if let Some(session) = session {
            session.close().await;
        }
        Ok::<_, StepError>(read)
    };
    let workers = workers.clamp(1, tables.len().max(1));
    let read = futures::future::try_join_all((0..workers).map(|_| worker())).await?;
    let mut all = vec![None; tables.len()];
    for (place, rows) in read.into_iter().flatten() {
        all[place] = rows;
    }
    Ok(all)
}

/// A table that is not there leaves the transaction as it was.
async fn rows_once(session: &Session, table: &Table) -> Result<Option<Rows>, StepError> {
    let client = session.client();
    let savepoint = client.batch_execute("SAVEPOINT table_read").await;
    savepoint.map_err(|error| session.error(error).into_step_error("begin to read rows"))?;
    let rows = contents::rows_of(session, table).await?;
    if rows.is_none() {
        let back = client.batch_execute("ROLLBACK TO SAVEPOINT table_read").await;
        back.map_err(|error| session.error(error).into_step_error("go on reading rows"))?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_that_moves_may_stand_anywhere_in_between() {
        assert!(may_be(Some(5), Some(5), Some(5)) && !may_be(Some(6), Some(5), Some(5)));
        assert!(may_be(Some(6), Some(5), Some(7)) && !may_be(Some(8), Some(5), Some(7)));
        assert!(
            may_be(Some(6), Some(7), Some(5))
                && may_be(None, None, Some(1))
                && !may_be(None, Some(1), Some(1))
        );
    }

    #[test]
    fn many_differences_are_counted() {
        let error = differ(&(0..25).map(|n| format!("t{n}: 1 rows, and 2")).collect::<Vec<_>>());
        assert!(error.message.ends_with("t19: 1 rows, and 2; and 5 more"), "{}", error.message);
    }
}
