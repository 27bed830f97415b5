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
    let from = format!(
        "{} of {}, from the rollback of {} in deployment {}",
        count(saved.rows, noun),
        saved.name(),
        stamp(saved.at),
        saved.deployment
    );
    if saved.what == SavedWhat::Columns && saved.key.is_empty() {
        let why = "nothing identifies its rows";
        return format!(
            "{from}, as whole rows: {why}; `stopover saved restore {} --into TABLE` has them",
            saved.id
        );
    }
    format!(
        "{from}: `stopover deploy` with --restore-saved puts them back, or `stopover saved restore {}` once it is applied",
        saved.id
    )
}

#[cfg(test)]
mod tests {
    use stopover_model::saved::{SavedColumn, SavedPurged, SavedRestored};

    use super::super::line::text;
    use super::super::sample::{at, view};
    use super::*;

    /// So that no text is broken in two.
    fn wide() -> View {
        View { width: 140, ..view() }
    }

    fn saved() -> Saved {
        let column = |name: &str| SavedColumn { name: name.into(), type_name: "boolean".into() };
        Saved {
            id: "4k2m9x0c1d".parse().unwrap(),
            at: at(10),
            deployment: "aacj4d44at".parse().unwrap(),
            migration: "001_a".parse().unwrap(),
            by_rollback: true,
            what: SavedWhat::Columns,
            table: "users".into(),
            columns: vec![column("done")],
            key: vec!["id".into()],
            rows: 300_000,
            bytes: 13_000_000,
            holder: Some("users_4k2m9x0c1d".into()),
            restored: None,
            purged: None,
            definition: vec!["ALTER TABLE users ADD COLUMN done boolean".into()],
        }
    }

    fn found(saved: Saved) -> FoundSaved {
        let (environment, database) = ("staging".parse().unwrap(), "app".parse().unwrap());
        FoundSaved { environment, database, saved }
    }

    fn databases(all: Vec<Saved>) -> Vec<DatabaseSaved> {
        let FoundSaved { environment, database, .. } = found(saved());
        vec![DatabaseSaved { environment, database, saved: all, failed: None }]
    }

    #[test]
    fn each_has_a_line_with_what_became_of_it() {
        let put_back =
            Saved { restored: Some(SavedRestored { at: at(20), by: "ada".into(), rows: 3 }), ..saved() };
        let purged = Saved { purged: Some(SavedPurged { at: at(20), by: "bob".into() }), ..saved() };
        let empty = Saved { holder: None, rows: 0, by_rollback: false, ..saved() };
        let shown = list(&databases(vec![saved(), put_back, purged, empty]), wide());
        let states = ["kept", "put back", "purged by bob", "definition only"];
        for (line, state) in shown.lines().skip(1).zip(states) {
            assert!(line.contains("users.done") && line.contains(state), "{state} is not in\n{shown}");
        }
        assert!(shown.contains("rollback of 001_a") && shown.contains("up of 001_a"), "{shown}");
        assert!(list(&databases(Vec::new()), wide()).starts_with("nothing is kept"));
    }

    #[test]
    fn one_is_shown_with_the_way_back_as_long_as_there_is_one() {
        let shown = text(&one(&found(saved()), wide()));
        for said in [
            "users.done  4k2m9x0c1d",
            "staging, database app",
            "by the rollback of 001_a in deployment aacj4d44at",
            "done boolean",
            "300,000 rows, 13 MB, by id, in stopover_saved.users_4k2m9x0c1d",
            "stopover saved restore 4k2m9x0c1d",
            "ALTER TABLE users ADD COLUMN done boolean;",
        ] {
            assert!(shown.contains(said), "{said} is not in\n{shown}");
        }
        let purged = Saved { purged: Some(SavedPurged { at: at(20), by: "bob".into() }), ..saved() };
        let shown = text(&one(&found(purged), wide()));
        assert!(shown.contains("by bob") && !shown.contains("stopover saved restore"), "{shown}");
        let whole = Saved { what: SavedWhat::Emptied, key: Vec::new(), ..saved() };
        let shown = text(&one(&found(whole), wide()));
        assert!(shown.contains("emptied") && shown.contains("as whole rows"), "{shown}");
    }

    #[test]
    fn what_was_not_put_back_is_said() {
        let done = RestoredValues {
            restored: 290_000,
            kept: 9_000,
            missing: 1_000,
            notes: vec!["a foreign key".into()],
            ..RestoredValues::default()
        };
        let shown = text(&restored(&saved(), &done, wide()));
        for said in [
            "✓ 290,000 rows of users.done are back",
            "9,000 rows hold another value by now, which was left: --overwrite replaces it",
            "1,000 rows of what was saved are not in the table any more",
            "! not brought back: a foreign key",
        ] {
            assert!(shown.contains(said), "{said} is not in\n{shown}");
        }
        let made = RestoredValues { restored: 1, made: Some("users".into()), ..RestoredValues::default() };
        assert!(text(&restored(&saved(), &made, wide())).contains("users is there again, with 1 row"));
    }

    #[test]
    fn the_offer_names_both_ways_unless_there_is_but_one() {
        let offered = offer(&saved());
        assert!(offered.starts_with("300,000 values of users.done, from the rollback of "), "{offered}");
        assert!(
            offered.contains("--restore-saved") && offered.contains("saved restore 4k2m9x0c1d"),
            "{offered}"
        );
        let keyless = offer(&Saved { key: Vec::new(), ..saved() });
        assert!(!keyless.contains("--restore-saved") && keyless.contains("--into TABLE"), "{keyless}");
    }

    #[test]
    fn what_is_to_be_purged_is_named_with_its_size() {
        let shown = text(&to_purge(&[found(saved())], wide()));
        assert!(shown.contains("4k2m9x0c1d  users.done of app, 300,000 rows, 13 MB, saved "), "{shown}");
    }
}
