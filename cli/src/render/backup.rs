//! Backups that lie somewhere.

use stopover_model::backup::{BackupProof, RestoredBackup, StoredBackup};
use stopover_model::duration::human;

use super::View;
use super::line::{Line, Tone};
use super::list::table;
use super::number::{bytes, relative, stamp};
use super::step::level;
use crate::answer::DatabaseBackups;

/// Newest first within each database.
#[must_use]
pub fn list(databases: &[DatabaseBackups], view: View) -> String {
    let backups: Vec<&StoredBackup> =
        databases.iter().filter_map(|place| place.found.as_ref()).flat_map(|shelf| &shelf.backups).collect();
    if backups.is_empty() {
        return "no backups; a deployment makes one before it changes a database".to_owned();
    }
    let rows = backups.into_iter().map(|backup| {
        [
            backup.id.to_string(),
            format!("{}/{}", backup.environment, backup.database),
            relative(backup.finished, view.now),
            bytes(backup.bytes),
            proof(backup),
            backup.deployment.to_string(),
        ]
    });
    table(["ID", "DATABASE", "MADE", "SIZE", "PROVEN", "DEPLOYMENT"], rows, view)
}

/// What could not be looked at, and what is none.
#[must_use]
pub fn problems(databases: &[DatabaseBackups], view: View) -> Vec<Line> {
    let mut lines = Vec::new();
    for place in databases {
        if let Some(error) = &place.failed {
            lines.push(
                Line::new()
                    .strong(format!("{}/{}", place.environment, place.database))
                    .plain(": not looked at"),
            );
            lines.extend(super::error::lines(error, view.width));
        }
        for bad in place.found.iter().flat_map(|shelf| &shelf.unreadable) {
            let line =
                Line::of(Tone::Warn, "! ").plain(&bad.location).plain(" is left out: ").plain(&bad.why);
            lines.extend(line.wrapped(view.width, 2));
        }
    }
    lines
}

/// All that is known of one.
#[must_use]
pub fn whole(backup: &StoredBackup, view: View) -> Vec<Line> {
    let row = |name: &str, value: String| Line::new().dim(format!("{name:<12}")).plain(value);
    let encrypted = if backup.recipients.is_empty() {
        "no".to_owned()
    } else {
        format!("to {}", backup.recipients.join(", "))
    };
    let source = format!(
        "{} of {}/{}, PostgreSQL {}",
        backup.database_name, backup.environment, backup.database, backup.server_version
    );
    let mut lines = vec![
        Line::new().strong(backup.id.as_str()),
        row("database", source),
        row("made", format!("{}, {}", stamp(backup.finished), relative(backup.finished, view.now))),
        row(
            "for",
            format!("deployment {}, attempt {}, by {}", backup.deployment, backup.attempt, backup.agent),
        ),
        row("lies at", backup.location.clone()),
        row("size", format!("{}, of {} in tables", bytes(backup.bytes), bytes(backup.database_bytes))),
        row("proven", level(backup.level).to_owned()),
        row("encrypted", encrypted),
        row("sha256", backup.sha256.to_string()),
        row("restore", format!("stopover backup restore {} --as NAME", backup.id)),
    ];
    // As wide as it is: people copy it.
    lines.push(row("or", backup.restore_command.clone()));
    lines
}

#[must_use]
pub fn proven(backup: &StoredBackup, proof: &BackupProof) -> Line {
    let text = format!(
        "{} is what it was: {}, {}, in {}",
        backup.id,
        bytes(proof.bytes),
        level(proof.level),
        human(proof.took)
    );
    Line::of(Tone::Good, "✓ ").plain(text)
}

#[must_use]
pub fn restored(backup: &StoredBackup, restored: &RestoredBackup, view: View) -> Vec<Line> {
    let text =
        format!("{} is in the database {}, in {}", backup.id, restored.database_name, human(restored.took));
    let mut lines = Line::of(Tone::Good, "✓ ").plain(text).wrapped(view.width, 2);
    if let Some(kept) = &restored.kept_as {
        let text = format!(
            "the database that was there before is called {kept} now; drop it when nobody misses anything"
        );
        lines.extend(Line::new().indented(2).plain(text).wrapped(view.width, 2));
    }
    if let Some(fresh) = &restored.fresh_backup {
        lines.push(Line::new().indented(2).plain(format!("and backed up just before: {fresh}")));
    }
    lines
}

/// What is about to happen to a live database.
#[must_use]
pub fn over_live(backup: &StoredBackup, disconnect_others: bool, view: View) -> Vec<Line> {
    let head = format!("{} of {}/{} goes back to", backup.database_name, backup.environment, backup.database);
    let mut lines = Line::of(Tone::Warn, "! ")
        .plain(head)
        .strong(format!(" {}", stamp(backup.started)))
        .plain(format!(" ({}). What was written since is not in it.", relative(backup.started, view.now)))
        .wrapped(view.width, 2);
    let steps = if disconnect_others {
        "Before: a fresh backup. Sessions of others are ended. The database as it is now is kept under another name."
    } else {
        "Before: a fresh backup. Sessions of others stop it. The database as it is now is kept under another name."
    };
    lines.extend(Line::new().indented(2).plain(steps).wrapped(view.width, 2));
    lines
}

fn proof(backup: &StoredBackup) -> String {
    let encrypted = if backup.recipients.is_empty() { "" } else { ", encrypted" };
    format!("{}{encrypted}", level(backup.level))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stopover_model::backup::{BackupShelf, UnreadableBackup};
    use stopover_model::digest::Digest;
    use stopover_model::id::Attempt;
    use stopover_model::pipeline::BackupLevel;

    use super::super::line::text;
    use super::super::sample::{at, view};
    use super::*;

    fn backup() -> StoredBackup {
        StoredBackup {
            id: "9g2k4t8w1x".parse().unwrap(),
            environment: "production".parse().unwrap(),
            database: "users".parse().unwrap(),
            agent: "production-1".parse().unwrap(),
            deployment: "aacj4d44at".parse().unwrap(),
            attempt: Attempt(1),
            location: "s3://acme/users/production-users-20250116T135800Z-aacj4d44at.dump.zst.age".into(),
            database_name: "users".into(),
            server_version: "15.18".into(),
            level: BackupLevel::Decoded,
            bytes: 28_000_000,
            sha256: Digest::from_bytes([1; 32]),
            dump_bytes: 80_000_000,
            database_bytes: 85_000_000,
            recipients: vec!["age1xyz".into()],
            header: Vec::new(),
            started: at(0),
            finished: at(9),
            restore_command: "aws s3 cp ...".into(),
        }
    }

    #[test]
    fn a_list_has_a_line_for_each_and_says_what_is_none() {
        let shelf = BackupShelf {
            destination: "s3://acme/users".into(),
            backups: vec![backup()],
            unreadable: vec![UnreadableBackup {
                location: "s3://acme/users/x.json".into(),
                why: "it is no manifest".into(),
            }],
        };
        let place = DatabaseBackups {
            environment: "production".parse().unwrap(),
            database: "users".parse().unwrap(),
            found: Some(shelf),
            failed: None,
        };
        let shown = list(std::slice::from_ref(&place), view());
        assert!(shown.contains("9g2k4t8w1x  production/users") && shown.contains("28 MB"), "{shown}");
        assert_eq!(
            text(&problems(&[place], view())),
            "! s3://acme/users/x.json is left out: it is no manifest\n"
        );
        assert!(list(&[], view()).contains("no backups"));
    }

    #[test]
    fn what_is_about_to_happen_and_what_happened_is_said() {
        let before =
            text(&over_live(&backup(), false, view())).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(before.contains("What was written since is not in it"), "{before}");
        let done = RestoredBackup {
            database_name: "users".into(),
            kept_as: Some("users_before_20250116_140000".into()),
            fresh_backup: Some("/b/fresh".into()),
            took: Duration::from_secs(61),
        };
        let after =
            text(&restored(&backup(), &done, view())).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            after.contains("is called users_before_20250116_140000 now") && after.contains("/b/fresh"),
            "{after}"
        );
        let whole = text(&whole(&backup(), view()));
        assert!(
            whole.contains("to age1xyz") && whole.contains("stopover backup restore 9g2k4t8w1x --as NAME"),
            "{whole}"
        );
    }
}
