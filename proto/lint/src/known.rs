//! What the scripts before, and a script's own statements, tell of the tables: which are new, and which columns are known
//! to hold no NULL.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use squawk_syntax::ast::{self, AstNode as _};
use stopover_model::sql::{AlterAction, Name, StatementKind};

use crate::reading::{Read, Reading};
use crate::tree::range_of;

/// What the migrations before have done, as far as they are looked at together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Each table with the migration that created it.
    created: BTreeMap<Name, String>,
    constraints: Constraints,
}

/// The constraints that were seen, and what they prove.
#[derive(Debug, Clone, Default)]
pub(crate) struct Constraints {
    /// By table and name: the column that it says is NOT NULL, and whether it has been validated.
    checks: BTreeMap<(Name, String), (String, bool)>,
    others: BTreeSet<(Name, String)>,
    /// Tables of which a constraint was validated that nobody here has seen added.
    unseen: BTreeSet<Name>,
    not_null: BTreeSet<(Name, String)>,
}

/// What is known before SET NOT NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A validated constraint says that there is no NULL.
    Proven,
    /// A constraint from elsewhere was validated, which may say so.
    Perhaps,
    None,
}

impl Known {
    pub(crate) fn created_by(&self, table: &Name) -> Option<&str> {
        self.created.get(&plain(table)).map(String::as_str)
    }

    pub(crate) fn constraints(&self) -> Constraints {
        self.constraints.clone()
    }

    /// Takes in what a script does.
    pub(crate) fn learn(&mut self, reading: &Reading<'_>) {
        for statement in &reading.statements {
            match &statement.kind {
                StatementKind::CreateTable { table, temporary: false, .. } => {
                    self.created.insert(plain(table), reading.source.migration.to_owned());
                }
                StatementKind::DropTable { tables, .. } => {
                    for table in tables {
                        self.created.remove(&plain(table));
                    }
                }
                StatementKind::AlterTable { table, actions, .. } => {
                    let renamed = actions.iter().find_map(|action| match action {
                        AlterAction::RenameTo { to } => Some(Name { name: to.clone(), ..plain(table) }),
                        _ => None,
                    });
                    if let (Some(to), Some(by)) = (&renamed, self.created.get(&plain(table)).cloned()) {
                        self.created.insert(to.clone(), by);
                    }
                }
                _ => {}
            }
            for index in 0..statement.actions().len() {
                self.constraints.learn(statement, index);
            }
        }
    }
}

impl Constraints {
    /// Takes in one action of an ALTER TABLE.
    pub(crate) fn learn(&mut self, statement: &Read<'_>, index: usize) {
        let StatementKind::AlterTable { table, actions, .. } = &statement.kind else { return };
        let table = plain(table);
        let key = |name: &String| (table.clone(), name.clone());
        match &actions[index] {
            AlterAction::AddConstraint { name: Some(name), not_valid, .. } => {
                match not_null_check(statement, index) {
                    Some(column) => {
                        self.checks.insert(key(name), (column, !not_valid));
                    }
                    None => {
                        self.others.insert(key(name));
                    }
                }
            }
            AlterAction::ValidateConstraint { name } => match self.checks.get_mut(&key(name)) {
                Some((_, valid)) => *valid = true,
                None if self.others.contains(&key(name)) => {}
                None => {
                    self.unseen.insert(table);
                }
            },
            AlterAction::DropConstraint { name, .. } => {
                self.checks.remove(&key(name));
                self.others.remove(&key(name));
            }
            AlterAction::SetNotNull { column } => {
                self.not_null.insert((table, column.clone()));
            }
            AlterAction::DropNotNull { column } | AlterAction::DropColumn { column, .. } => {
                self.not_null.remove(&(table, column.clone()));
            }
            _ => {}
        }
    }

    pub(crate) fn proof(&self, table: &Name, column: &str) -> Proof {
        let table = plain(table);
        let says_so =
            |((t, _), (c, valid)): (&(Name, String), &(String, bool))| *valid && *t == table && c == column;
        if self.checks.iter().any(says_so) {
            Proof::Proven
        } else if self.unseen.contains(&table) {
            Proof::Perhaps
        } else {
            Proof::None
        }
    }

    /// Whether a constraint only says what its column's NOT NULL says too.
    pub(crate) fn is_superfluous(&self, table: &Name, name: &str) -> bool {
        let table = plain(table);
        let check = self.checks.get(&(table.clone(), name.to_owned()));
        check.is_some_and(|(column, _)| self.not_null.contains(&(table, column.clone())))
    }
}

/// Whether a script created the table before one of its statements, and nothing can be in it that others see.
pub(crate) fn is_new(reading: &Reading<'_>, index: usize, table: &Name) -> bool {
    let table = plain(table);
    let before = &reading.statements[..index];
    let created = before.iter().rposition(
        |s| matches!(&s.kind, StatementKind::CreateTable { table: new, .. } if plain(new) == table),
    );
    let together = |at: &usize| reading.transactions.iter().any(|t| t.contains(at) && t.contains(&index));
    created.is_some_and(|at| together(&at) || !before[at..].iter().any(|s| fills(s, &table)))
}

/// The statement and action of a script's first statements that adds the column.
pub(crate) fn added(before: &[Read<'_>], table: &Name, column: &str) -> Option<(usize, usize)> {
    let adds =
        |action: &AlterAction| matches!(action, AlterAction::AddColumn { column: new, .. } if new == column);
    before.iter().enumerate().find_map(|(n, statement)| {
        let StatementKind::AlterTable { table: altered, actions, .. } = &statement.kind else { return None };
        (plain(altered) == plain(table)).then(|| actions.iter().position(adds)).flatten().map(|m| (n, m))
    })
}

/// Whether the action in which a range begins changes a column that the script itself has added.
pub(crate) fn is_of_new_column(reading: &Reading<'_>, index: usize, range: &Range<usize>) -> bool {
    let statement = &reading.statements[index];
    let StatementKind::AlterTable { table, actions, .. } = &statement.kind else { return false };
    let here = |n: &usize| {
        action_of(statement, *n).is_some_and(|a| range_of(a.syntax().text_range()).contains(&range.start))
    };
    let column = (0..actions.len()).find(here).and_then(|n| match &actions[n] {
        AlterAction::DropColumn { column, .. }
        | AlterAction::DropNotNull { column }
        | AlterAction::SetDefault { column }
        | AlterAction::DropDefault { column }
        | AlterAction::RenameColumn { from: column, .. } => Some(column),
        _ => None,
    });
    column.is_some_and(|column| added(&reading.statements[..=index], table, column).is_some())
}

fn fills(statement: &Read<'_>, table: &Name) -> bool {
    match &statement.kind {
        StatementKind::Insert { table: into } | StatementKind::Copy { table: Some(into), .. } => {
            plain(into) == *table
        }
        _ => false,
    }
}

/// The same table is often written with `public` and without.
pub(crate) fn plain(table: &Name) -> Name {
    Name { schema: table.schema.clone().filter(|schema| schema != "public"), name: table.name.clone() }
}

/// The action's tree, where squawk's reading has as many actions as ours.
pub(crate) fn action_of(statement: &Read<'_>, index: usize) -> Option<ast::AlterTableAction> {
    let alter = statement.alter_table()?;
    (alter.actions().count() == statement.actions().len()).then(|| alter.actions().nth(index)).flatten()
}

/// The column of `CHECK (column IS NOT NULL)`.
fn not_null_check(statement: &Read<'_>, index: usize) -> Option<String> {
    let ast::AlterTableAction::AddConstraint(added) = action_of(statement, index)? else { return None };
    let ast::Constraint::CheckConstraint(check) = added.constraint()? else { return None };
    let text = check.expr()?.syntax().text().to_string();
    let mut words: Vec<&str> = text.trim_matches(['(', ')', ' ']).split_whitespace().collect();
    let tail = words.split_off(words.len().checked_sub(3)?);
    let says_so =
        tail.iter().zip(["is", "not", "null"]).all(|(word, wanted)| word.eq_ignore_ascii_case(wanted));
    let column = if says_so { words.join(" ").parse::<Name>().ok()? } else { return None };
    column.schema.is_none().then_some(column.name)
}
