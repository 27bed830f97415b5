//! A way back that drops what was written since, where nothing of it is saved: neither by Stopover, nor by the script.

use squawk_syntax::ast;
use squawk_syntax::ast::AstNode as _;
use stopover_model::sql::{AlterAction, Name, StatementKind};

use crate::catalogue::ROLLBACK_LOSES_DATA;
use crate::known::{action_of, plain};
use crate::raw::Raw;
use crate::reading::{Read, Reading};
use crate::script::Role;
use crate::tree::range_of;
use crate::way_out::quoted;

pub(super) fn check(reading: &Reading<'_>, index: usize, up: Option<&Reading<'_>>) -> Vec<Raw> {
    if reading.role() != Role::Down {
        return Vec::new();
    }
    let statement = &reading.statements[index];
    if reading.source.saves && !reading.source.script.saves_nothing(&statement.at) {
        return Vec::new();
    }
    match &statement.kind {
        StatementKind::AlterTable { table, actions, .. } => {
            let dropped = actions.iter().enumerate().filter_map(|(n, action)| match action {
                AlterAction::DropColumn { column, .. } => Some((n, column)),
                _ => None,
            });
            let unsaved = dropped.filter(|(_, column)| !is_saved(reading, index, column));
            unsaved.map(|(n, column)| lost_column(statement, n, table, column)).collect()
        }
        StatementKind::DropTable { tables, .. } => {
            let lost = tables.iter().filter(|t| !creates(up, t) && !is_saved(reading, index, &t.name));
            lost.map(|table| lost_table(statement, table)).collect()
        }
        _ => Vec::new(),
    }
}

const SAVE: &str = "Take away `save = false`, or `-- stopover: save=off` above it: then it is saved in the same transaction.";

fn lost_column(statement: &Read<'_>, action: usize, table: &Name, column: &str) -> Raw {
    let range = action_of(statement, action).map_or(statement.range(), |a| range_of(a.syntax().text_range()));
    let message = format!(
        "A rollback loses what was written to {table}.{} since: it is not saved, and only the backup before the rollback has it.",
        quoted(column)
    );
    let kept = Name { name: format!("{}_{column}_kept", table.name), ..table.clone() };
    let sql =
        format!("CREATE TABLE {kept} AS SELECT id, {0} FROM {table} WHERE {0} IS NOT NULL;", quoted(column));
    Raw::ours(&ROLLBACK_LOSES_DATA, range, message)
        .help(SAVE)
        .rewrite("Or keep it before, by the table's key, here id", sql)
}

fn lost_table(statement: &Read<'_>, table: &Name) -> Raw {
    let message = format!(
        "A rollback drops {table}, which this migration's way there does not create: its rows are not saved, and only the \
         backup before the rollback has them."
    );
    let renamed = quoted(&format!("{}_kept", table.name));
    Raw::ours(&ROLLBACK_LOSES_DATA, statement.range(), message)
        .help(SAVE)
        .rewrite("Or rename it, and drop it later", format!("ALTER TABLE {table} RENAME TO {renamed};"))
}

fn creates(up: Option<&Reading<'_>>, table: &Name) -> bool {
    let Some(up) = up else { return true };
    let table = plain(table);
    up.statements.iter().any(|statement| match &statement.kind {
        StatementKind::CreateTable { table: new, .. } => plain(new) == table,
        StatementKind::AlterTable { actions, .. } => {
            actions.iter().any(|a| matches!(a, AlterAction::RenameTo { to } if *to == table.name))
        }
        // A table can come to be in many ways: SELECT INTO, an extension, a function.
        _ => statement.tree.is_none() || matches!(statement.tree, Some(ast::Stmt::SelectInto(_))),
    })
}

/// Whether a statement before writes something of that name elsewhere.
fn is_saved(reading: &Reading<'_>, index: usize, name: &str) -> bool {
    reading.statements[..index].iter().any(|statement| {
        let writes = matches!(
            statement.kind,
            StatementKind::CreateTable { .. } | StatementKind::Insert { .. } | StatementKind::Copy { .. }
        ) || matches!(statement.tree, Some(ast::Stmt::SelectInto(_)));
        let mut words = statement.at.text.split(|c: char| !c.is_alphanumeric() && c != '_');
        writes && words.any(|word| word.eq_ignore_ascii_case(name))
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, rules};

    fn unsaved<'a>(up: &'a str, down: &'a str) -> Sql<'a> {
        Sql { saves: false, ..Sql::down(up, down) }
    }

    #[test]
    fn a_dropped_column_is_gone_unless_it_is_kept() {
        let up = "ALTER TABLE t ADD note text;";
        let down = "ALTER TABLE t DROP COLUMN IF EXISTS note;";
        assert_eq!(rules(unsaved(up, down)), ["1:15 stopover/rollback-loses-data"]);
        let kept = format!("CREATE TABLE t_note_kept AS SELECT id, note FROM t;\n{down}");
        assert_eq!(rules(unsaved(up, &kept)), [""; 0]);
    }

    #[test]
    fn what_stopover_saves_is_not_lost() {
        let up = "ALTER TABLE t ADD note text, ADD mark text;";
        let down = "ALTER TABLE t DROP note;\n-- stopover: save=off\nALTER TABLE t DROP mark;";
        assert_eq!(rules(Sql::down(up, down)), ["3:15 stopover/rollback-loses-data"]);
        assert_eq!(rules(unsaved(up, down)).len(), 2);
    }

    #[test]
    fn a_table_that_the_way_there_made_may_go() {
        assert_eq!(rules(unsaved("CREATE TABLE public.t (a text);", "DROP TABLE t;")), [""; 0]);
        assert_eq!(rules(unsaved("SELECT 1;", "DROP TABLE t;")), ["1:1 stopover/rollback-loses-data"]);
    }
}
