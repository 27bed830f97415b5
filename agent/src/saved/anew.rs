//! A table that is not there is made again: as it was, or as nothing but the saved values under another name.

use stopover_model::report::StepError;
use stopover_model::saved::{RestoredValues, SavedWhat};
use stopover_model::sql::{Name, quoted};

use super::batch::{RestoreWork, note};
use super::manifest::Entry;
use super::relation::Column;
use super::{SCHEMA, act, shown_table, typed};
use crate::postgres::{QueryError, Session};

/// Parts up to this one come before the rows; those up to the second one must hold again.
const BEFORE_ROWS: i32 = 2;
const MUST_HOLD: i32 = 4;

/// All of it in one transaction: nobody sees half a table.
pub(super) async fn make(
    session: &Session,
    entry: &Entry,
    name: &Name,
    work: &RestoreWork,
) -> Result<RestoredValues, StepError> {
    let doing = format!("make the table {}", shown_table(name));
    let mut restored = RestoredValues { made: Some(shown_table(name)), ..RestoredValues::default() };
    act::transaction(session, &doing, async || {
        restored.restored = if work.into.is_none() {
            as_it_was(session, entry, &mut restored.notes).await?
        } else {
            plain(session, entry, name).await?
        };
        note(session, entry, work, restored.restored, None, true).await
    })
    .await?;
    Ok(restored)
}

async fn as_it_was(session: &Session, entry: &Entry, notes: &mut Vec<String>) -> Result<u64, QueryError> {
    let run = async |sql: &str| session.client().batch_execute(sql).await.map_err(|e| session.error(e));
    for part in entry.definition.iter().filter(|part| part.part <= BEFORE_ROWS) {
        run(&part.sql).await?;
    }
    let rows = match holder(entry) {
        Some(holder) => {
            let held: Vec<&Column> = entry.columns.iter().filter(|column| !column.generated).collect();
            let names: Vec<String> = held.iter().map(|column| quoted(&column.name)).collect();
            let sql = format!(
                "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {holder}",
                entry.table.quoted(),
                names.join(", "),
                read_back(&held)
            );
            typed::execute(session, &sql).await?
        }
        None => 0,
    };
    for part in entry.definition.iter().filter(|part| part.part > BEFORE_ROWS && part.part <= MUST_HOLD) {
        run(&part.sql).await?;
    }
    for part in entry.definition.iter().filter(|part| part.part > MUST_HOLD) {
        run("SAVEPOINT stopover_part").await?;
        if let Err(error) = run(&part.sql).await {
            if error.is_lost() {
                return Err(error);
            }
            notes.push(format!("{}: {error}", part.sql));
            run("ROLLBACK TO SAVEPOINT stopover_part").await?;
        }
        run("RELEASE SAVEPOINT stopover_part").await?;
    }
    Ok(rows)
}

/// The saved values under another name, with their types where these are there.
async fn plain(session: &Session, entry: &Entry, name: &Name) -> Result<u64, QueryError> {
    let schema = name.schema.clone().unwrap_or_else(|| "public".to_owned());
    let name = Name { schema: Some(schema), name: name.name.clone() };
    let Some(holder) = holder(entry) else {
        return Err(QueryError::Answer("nothing was saved of it but its definition".to_owned()));
    };
    let whole_rows = entry.saved.what == SavedWhat::Columns && entry.key.is_empty();
    let wanted = if whole_rows {
        // The manifest knows the types of the dropped columns only.
        "*".to_owned()
    } else {
        let is_columns = entry.saved.what == SavedWhat::Columns;
        let keys = entry.key.iter().filter(|_| is_columns);
        let held = entry.columns.iter().filter(|column| !column.generated);
        read_back(&keys.chain(held).collect::<Vec<_>>())
    };
    let sql = format!("CREATE TABLE {} AS SELECT {wanted} FROM {holder}", name.quoted());
    typed::execute(session, &sql).await
}

fn holder(entry: &Entry) -> Option<String> {
    entry.saved.holder.as_ref().map(|holder| format!("{SCHEMA}.{}", quoted(holder)))
}

fn read_back(columns: &[&Column]) -> String {
    let value = |column: &&Column| {
        let name = quoted(&column.name);
        if column.as_text { format!("{name}::{} AS {name}", column.type_name) } else { name }
    };
    columns.iter().map(value).collect::<Vec<_>>().join(", ")
}
