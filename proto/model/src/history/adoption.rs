//! Which migrations of a directory a history says are applied, and what stands in the way of believing it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;

use super::checksum::{Compared, compare};
use super::key::{self, Key};
use super::liquibase;
use super::{HistoryRow, HistoryTable, RowState, Tool};
use crate::digest::{Digest, Digester};
use crate::id::MigrationId;
use crate::layout::Directory;
use crate::layout::draft::id_of;
use crate::migration::Migration;
use crate::report::{LedgerEntry, LedgerState};

/// What adopting a history would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Adoption {
    /// In the order in which they were applied, as far as that is known.
    pub marks: Vec<Mark>,
    /// The directory's others, in its order.
    pub pending: Vec<MigrationId>,
    /// With one of these nothing may be written.
    pub problems: Vec<Problem>,
    /// Versions that are applied, and of which the directory has no file.
    pub unknown: Vec<String>,
}

/// A migration that counts as applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    pub migration: MigrationId,
    pub digest: Digest,
    pub basis: Basis,
    /// As the history has it.
    pub version: Option<String>,
    /// When the tool applied it.
    pub at: Option<Timestamp>,
}

/// Why a migration counts as applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// It has a row.
    Row,
    /// It has a row, whose checksum is the file's.
    Checked,
    /// Its file is not what was applied, and a person has said that it counts.
    Changed,
    /// The tool keeps the last version only, and this one comes before it.
    Earlier,
    /// It was there before the tool came.
    Baseline,
    /// It has a row, and no file: the tool does not write SQL.
    NoFile,
    /// A person says so.
    Person,
}

/// What stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub trouble: Trouble,
    /// The migration's name, or the version in the history where there is no migration.
    pub of: String,
    pub message: String,
    /// The way out.
    pub hint: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The last try failed, or did not end.
    Unfinished,
    /// The file is not what was applied.
    Changed,
    /// The history belongs to another directory.
    Elsewhere,
    /// More than one migration could be meant.
    Ambiguous,
    /// The ledger knows it otherwise.
    Ledger,
}

/// What a person has said beforehand.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Files that are not what was applied count as applied all the same.
    pub accept_changed: bool,
}

/// Holds a history against a directory.
#[must_use]
pub fn adopt(history: &HistoryTable, directory: &Directory, options: Options) -> Adoption {
    let mut adoption =
        Adoption { marks: Vec::new(), pending: Vec::new(), problems: Vec::new(), unknown: Vec::new() };
    let rows = match rows_of_project(history, directory) {
        Ok(rows) => rows,
        Err(problem) => {
            adoption.problems.push(problem);
            return adoption;
        }
    };
    let matching = Matching { history, options, migrations: &directory.migrations };
    match history.tool {
        Tool::GolangMigrate => matching.up_to_the_last(&rows, &mut adoption),
        Tool::Liquibase => {
            let keys = liquibase::keys(&rows, &directory.migrations);
            matching.row_by_row(&rows, keys, &mut adoption);
        }
        tool => {
            let keys = (key::of_rows(tool, &rows), key::of_migrations(tool, &directory.migrations));
            matching.row_by_row(&rows, keys, &mut adoption);
        }
    }
    adoption
}

impl Adoption {
    /// Which of the marks the ledger has already. What it knows otherwise stands in the way.
    pub fn compare_with_ledger(&mut self, ledger: &[LedgerEntry]) -> Vec<MigrationId> {
        let mut there = Vec::new();
        for mark in &self.marks {
            let Some(entry) = ledger.iter().find(|entry| entry.migration == mark.migration) else { continue };
            if entry.digest == mark.digest && entry.state == LedgerState::Applied {
                there.push(mark.migration.clone());
                continue;
            }
            let (message, hint) = if entry.digest == mark.digest {
                let message = format!("deployment {} has begun it, and it has not ended", entry.deployment);
                (message, "let that deployment end first: `stopover status` shows what it waits for")
            } else {
                let (there, here) = (entry.digest.short(), mark.digest.short());
                let message = format!("the ledger has it with other content: {there} there, {here} here");
                (message, "restore its files as they were, and put the change into a new migration")
            };
            let (of, hint) = (mark.migration.to_string(), hint.to_owned());
            self.problems.push(Problem { trouble: Trouble::Ledger, of, message, hint });
        }
        there
    }
}

/// One registry of sqitch's may hold several projects.
fn rows_of_project<'a>(
    history: &'a HistoryTable,
    directory: &Directory,
) -> Result<Vec<&'a HistoryRow>, Problem> {
    let all: Vec<&HistoryRow> = history.rows.iter().collect();
    if history.tool != Tool::Sqitch {
        return Ok(all);
    }
    let projects: BTreeSet<&str> = all.iter().filter_map(|row| row.scope.as_deref()).collect();
    let shown = projects.iter().copied().collect::<Vec<_>>().join(", ");
    match &directory.project {
        Some(project) if !projects.is_empty() && !projects.contains(project.as_str()) => Err(Problem {
            trouble: Trouble::Elsewhere,
            of: project.clone(),
            message: format!("{} knows no project {project}; it knows {shown}", history.table),
            hint: "give the directory whose sqitch.plan has that %project".to_owned(),
        }),
        Some(project) => {
            Ok(all.into_iter().filter(|row| row.scope.as_deref() == Some(project.as_str())).collect())
        }
        None if projects.len() > 1 => Err(Problem {
            trouble: Trouble::Ambiguous,
            of: history.table.clone(),
            message: format!("{} holds several projects: {shown}", history.table),
            hint: "give the directory with the project's sqitch.plan".to_owned(),
        }),
        None => Ok(all),
    }
}

struct Matching<'a> {
    history: &'a HistoryTable,
    migrations: &'a [Migration],
    options: Options,
}

impl Matching<'_> {
    /// golang-migrate keeps one row: the version that the database is at.
    fn up_to_the_last(&self, rows: &[&HistoryRow], adoption: &mut Adoption) {
        let tool = self.history.tool;
        let last = rows.last().zip(key::of_rows(tool, rows).into_iter().next_back());
        let keys = key::of_migrations(tool, self.migrations);
        if let Some((row, at)) = &last {
            let version = row.version.clone().unwrap_or_default();
            if row.state != RowState::Applied {
                adoption.problems.push(self.unfinished(&version, row));
            } else if at.is_none() || !keys.contains(at) {
                adoption.problems.push(Problem {
                    trouble: Trouble::Elsewhere,
                    of: version.clone(),
                    message: format!(
                        "the database is at version {version}, of which the directory has no migration"
                    ),
                    hint: "give the directory that the tool was run with, in a state that knows this version"
                        .to_owned(),
                });
            }
        }
        for (migration, key) in self.migrations.iter().zip(keys) {
            match &last {
                Some((row, Some(at))) if key.as_ref().is_some_and(|key| key <= at) => {
                    let own = key.as_ref() == Some(at);
                    let basis = if own { Basis::Row } else { Basis::Earlier };
                    let version = row.version.clone().filter(|_| own);
                    adoption.marks.push(Mark { version, ..mark(migration, basis, row) });
                }
                _ => adoption.pending.push(migration.id.clone()),
            }
        }
    }

    /// Every other tool keeps a row for each, and of several the last one counts.
    fn row_by_row(
        &self,
        rows: &[&HistoryRow],
        (row_keys, keys): (Vec<Option<Key>>, Vec<Option<Key>>),
        adoption: &mut Adoption,
    ) {
        let mut last: BTreeMap<&Key, usize> = BTreeMap::new();
        for (at, key) in row_keys.iter().enumerate() {
            last.extend(key.as_ref().map(|key| (key, at)));
        }
        let baselines = rows.iter().zip(&row_keys).filter(|(row, _)| row.state == RowState::Baseline);
        let baseline = baselines.filter_map(|(_, key)| key.as_ref()).max();
        for (at, (row, key)) in rows.iter().zip(&row_keys).enumerate() {
            let counts = key.as_ref().is_none_or(|key| last.get(key) == Some(&at));
            if counts && (key.is_none() || !keys.contains(key)) {
                self.without_a_migration(row, adoption);
            }
        }
        for (at, (migration, key)) in self.migrations.iter().zip(&keys).enumerate() {
            let row = key.as_ref().and_then(|key| last.get(key)).map(|row| rows[*row]);
            if row.is_some()
                && let Some(first) = keys[..at].iter().position(|other| other == key)
            {
                adoption.problems.push(ambiguous(&self.migrations[first], migration));
            }
            let below = key.as_ref().is_some_and(|key| baseline.is_some_and(|baseline| key <= baseline));
            let baseline = baseline.and_then(|key| last.get(key)).map(|row| rows[*row]).filter(|_| below);
            self.judge(migration, row, baseline, adoption);
        }
    }

    fn judge(
        &self,
        migration: &Migration,
        row: Option<&HistoryRow>,
        baseline: Option<&HistoryRow>,
        adoption: &mut Adoption,
    ) {
        let Some(row) = row else {
            match baseline {
                Some(row) => {
                    let version = None;
                    adoption.marks.push(Mark { version, ..mark(migration, Basis::Baseline, row) });
                }
                None => adoption.pending.push(migration.id.clone()),
            }
            return;
        };
        let basis = match row.state {
            RowState::NotApplied => return adoption.pending.push(migration.id.clone()),
            RowState::Failed | RowState::Dirty => {
                return adoption.problems.push(self.unfinished(migration.id.as_str(), row));
            }
            RowState::Baseline => Basis::Baseline,
            RowState::Applied => match compare(self.history.tool, row.checksum.as_deref(), migration) {
                Compared::Same => Basis::Checked,
                Compared::NotKnown => Basis::Row,
                // A repeatable script is there to be changed: what it is now has not run yet.
                Compared::Changed if migration.manifest.is_repeatable() => {
                    return adoption.pending.push(migration.id.clone());
                }
                Compared::Changed if self.options.accept_changed => Basis::Changed,
                Compared::Changed => return adoption.problems.push(changed(migration, &self.history.table)),
            },
        };
        adoption.marks.push(mark(migration, basis, row));
    }

    /// For a row that stands for nothing in the directory.
    fn without_a_migration(&self, row: &HistoryRow, adoption: &mut Adoption) {
        let version = row.version.clone().or_else(|| row.name.clone()).unwrap_or_default();
        match (self.history.tool, row.state) {
            (_, RowState::NotApplied | RowState::Baseline) => {}
            (_, RowState::Failed | RowState::Dirty) => {
                adoption.problems.push(self.unfinished(&version, row));
            }
            // goose begins its table with a row of its own.
            (Tool::Goose, _) if version == "0" => {}
            (Tool::Rails | Tool::Liquibase, RowState::Applied) => {
                adoption.marks.extend(self.mark_of_row(row, &adoption.marks));
            }
            (_, RowState::Applied) => adoption.unknown.push(version),
        }
    }

    /// For what a tool has applied that writes no SQL: recorded under a name made of the row's own.
    fn mark_of_row(&self, row: &HistoryRow, earlier: &[Mark]) -> Option<Mark> {
        let parts = [row.scope.as_deref().map(key::file_stem), row.version.as_deref(), row.name.as_deref()];
        let name = parts.into_iter().flatten().collect::<Vec<_>>().join(".");
        let free = |id: &MigrationId| earlier.iter().all(|mark| mark.migration != *id);
        let numbered = (2..).map(|n| format!("{n}.{name}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        let migration = names.find_map(|name| match id_of(&name) {
            Ok(id) if free(&id) => Some(Some(id)),
            Ok(_) => None,
            Err(_) => Some(None),
        })??;
        let mut digester = Digester::new("stopover adopted row v1");
        digester.part("tool", self.history.tool.name().as_bytes());
        for (field, text) in [("version", &row.version), ("name", &row.name), ("scope", &row.scope)] {
            digester.part(field, text.as_deref().unwrap_or_default().as_bytes());
        }
        let (digest, version) = (digester.finish(), row.version.clone());
        Some(Mark { migration, digest, basis: Basis::NoFile, version, at: row.at })
    }

    fn unfinished(&self, of: &str, row: &HistoryRow) -> Problem {
        let table = &self.history.table;
        let message = match row.state {
            RowState::Failed => format!("it failed, as {table} has it"),
            _ => format!("it began and did not end, as {table} has it (dirty)"),
        };
        let hint = self.history.tool.repair(table, row.version.as_deref().unwrap_or_default());
        Problem { trouble: Trouble::Unfinished, of: of.to_owned(), message, hint }
    }
}

fn mark(migration: &Migration, basis: Basis, row: &HistoryRow) -> Mark {
    let (id, digest, version) = (migration.id.clone(), migration.digest, row.version.clone());
    Mark { migration: id, digest, basis, version, at: row.at }
}

fn changed(migration: &Migration, table: &str) -> Problem {
    let file = migration.file_name("up.sql");
    Problem {
        trouble: Trouble::Changed,
        of: migration.id.to_string(),
        message: format!("{file} is not what was applied: {table} has another checksum"),
        hint: "restore the file as it was; or, where the difference changes nothing, say --accept-changed"
            .to_owned(),
    }
}

fn ambiguous(first: &Migration, second: &Migration) -> Problem {
    Problem {
        trouble: Trouble::Ambiguous,
        of: second.id.to_string(),
        message: format!("{} and {} have the same version", first.id, second.id),
        hint: "rename one of them, so that the history tells which one it means".to_owned(),
    }
}
