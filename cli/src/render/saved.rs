//! What was dropped and is kept.

use stopover_model::saved::{RestoredValues, Saved, SavedWhat};

use super::View;
use super::line::{Line, Tone};
use super::list::table;
use super::number::{bytes, count, relative, stamp};
use crate::answer::{DatabaseSaved, FoundSaved};

/// A line for each, the newest first.
#[must_use]
pub fn list(databases: &[DatabaseSaved], view: View) -> String {
    if databases.iter().all(|database| database.saved.is_empty()) {
        return "nothing is kept: no migration or rollback has dropped a value here".to_owned();
    }
    let several = databases.len() > 1;
    let rows = databases.iter().flat_map(|database| {
        database.saved.iter().map(move |saved| {
            let place = if several { format!("{}/", database.database) } else { String::new() };
            [
                saved.id.to_string(),
                format!("{place}{}", saved.name()),
                count(saved.rows, "row"),
                bytes(saved.bytes),
                format!("{} of {}", dropped_by(saved), saved.migration),
                relative(saved.at, view.now),
                state(saved, view),
            ]
        })
    });
    table(["ID", "WHAT", "ROWS", "SIZE", "DROPPED BY", "WHEN", "STATE"], rows, view)
}

fn dropped_by(saved: &Saved) -> &'static str {
    if saved.by_rollback { "rollback" } else { "up" }
}

fn state(saved: &Saved, view: View) -> String {
    match (&saved.purged, &saved.restored) {
        (Some(purged), _) => format!("purged by {}", purged.by),
        (None, Some(restored)) => format!("put back {}", relative(restored.at, view.now)),
        (None, None) if saved.holder.is_none() => "definition only".to_owned(),
        (None, None) => "kept".to_owned(),
    }
}

/// Everything about one.
#[must_use]
pub fn one(found: &FoundSaved, view: View) -> Vec<Line> {
    let saved = &found.saved;
    let mut lines = vec![Line::new().strong(saved.name()).plain(format!("  {}", saved.id))];
    let mut fact = |name: &str, text: String| {
        let head = Line::new().indented(2).dim(format!("{name:<9}"));
        lines.extend(head.plain(text).wrapped(view.width, 11));
    };
    fact("where", format!("{}, database {}", found.environment, found.database));
    let by = if saved.by_rollback { "the rollback of " } else { "" };
    let verb = if saved.what == SavedWhat::Emptied { "emptied" } else { "dropped" };
    fact(verb, format!("{}, by {by}{} in deployment {}", stamp(saved.at), saved.migration, saved.deployment));
    let columns: Vec<_> =
        saved.columns.iter().map(|column| format!("{} {}", column.name, column.type_name)).collect();
    fact("columns", columns.join(", "));
    fact("values", values(saved));
    if let Some(restored) = &saved.restored {
        let rows = count(restored.rows, "row");
        fact("put back", format!("{}, by {}: {rows}", stamp(restored.at), restored.by));
    }
    if let Some(purged) = &saved.purged {
        fact("purged", format!("{}, by {}", stamp(purged.at), purged.by));
    } else if saved.is_there() {
        fact("back", format!("stopover saved restore {}", saved.id));
    }
    if !saved.definition.is_empty() {
        lines.push(Line::new().indented(2).dim("as it was"));
        for statement in &saved.definition {
            let line = Line::new().indented(4).plain(format!("{statement};"));
            lines.extend(line.wrapped(view.width, 6));
        }
    }
    lines
}

fn values(saved: &Saved) -> String {
    let Some(holder) = &saved.holder else {
        return "none: all were NULL, or there was no row".to_owned();
    };
    let key = if saved.key.is_empty() {
        "as whole rows, since nothing identifies them".to_owned()
    } else {
        format!("by {}", saved.key.join(", "))
    };
    format!("{}, {}, {key}, in stopover_saved.{holder}", count(saved.rows, "row"), bytes(saved.bytes))
}

/// What putting back has come to.
#[must_use]
pub fn restored(saved: &Saved, done: &RestoredValues, view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    let head = match &done.made {
        Some(table) => format!("{table} is there again, with {}", count(done.restored, "row")),
        None => format!("{} of {} are back", count(done.restored, "row"), saved.name()),
    };
    lines.push(Line::of(Tone::Good, "✓ ").plain(head));
    if done.kept > 0 {
        let text = if saved.what == SavedWhat::Columns {
            format!(
                "{} hold another value by now, which was left: --overwrite replaces it",
                count(done.kept, "row")
            )
        } else {
            format!("{} are there already, and were left", count(done.kept, "row"))
        };
        lines.extend(Line::new().indented(2).plain(text).wrapped(view.width, 2));
    }
    if done.missing > 0 {
        let text = format!("{} of what was saved are not in the table any more", count(done.missing, "row"));
        lines.extend(Line::new().indented(2).plain(text).wrapped(view.width, 2));
    }
    for note in &done.notes {
        lines.extend(
            Line::of(Tone::Warn, "  ! ").plain(format!("not brought back: {note}")).wrapped(view.width, 4),
        );
    }
    lines
}

/// Before it is purged.
#[must_use]
pub fn to_purge(found: &[FoundSaved], view: View) -> Vec<Line> {
    let line = |found: &FoundSaved| {
        let saved = &found.saved;
        Line::new()
            .indented(2)
            .plain(format!("{}  ", saved.id))
            .strong(saved.name())
            .plain(format!(" of {}, {}, {}", found.database, count(saved.rows, "row"), bytes(saved.bytes)))
            .dim(format!(", saved {}", relative(saved.at, view.now)))
    };
    found.iter().flat_map(|found| line(found).wrapped(view.width, 4)).collect()
}

/// Where the migration whose rollback dropped it is to be applied again.
#[must_use]
pub fn offer(saved: &Saved) -> String {
    let noun = if saved.what == SavedWhat::Columns { "value" } else { "row" };
    format!(
        "{} of {}, from the rollback of {} in deployment {}: once it is applied, `stopover saved restore {}` puts them back",
        count(saved.rows, noun),
        saved.name(),
        stamp(saved.at),
        saved.deployment,
        saved.id
    )
}
