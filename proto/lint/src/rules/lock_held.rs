//! A transaction that takes a table's strongest lock early and then works for long: no `lock_timeout` helps those who wait.

use std::ops::Range;

use stopover_model::sql::{AlterAction, Name, StatementKind};

use super::whole_table::touches_every_row;
use crate::catalogue::LOCK_HELD_WHILE_SLOW;
use crate::known::is_new;
use crate::raw::Raw;
use crate::reading::{Read, Reading};

/// Once a script, at the first statement that makes others wait.
pub(super) fn check(reading: &Reading<'_>) -> Option<Raw> {
    reading.transactions.iter().find_map(|transaction| check_one(reading, transaction.clone()))
}

fn check_one(reading: &Reading<'_>, transaction: Range<usize>) -> Option<Raw> {
    let locks =
        |index: usize| locked(&reading.statements[index]).filter(|table| !is_new(reading, index, table));
    let (first, table) = transaction.clone().find_map(|n| Some((n, locks(n)?)))?;
    let slow = (first + 1..transaction.end).find(|n| is_slow(reading, *n))?;
    let (locking, statement) = (&reading.statements[first], &reading.statements[slow]);
    let line = reading.source.script.line_in_file(locking.at.line);
    let message = format!(
        "{table} is locked against readers and writers from line {line} until the transaction ends, and this {} may take \
         long: nobody gets at {table} meanwhile.",
        statement.kind
    );
    let raw = Raw::ours(&LOCK_HELD_WHILE_SLOW, statement.range(), message);
    Some(raw.help(
        "Move it into a migration of its own; or let each statement commit by itself: no BEGIN and COMMIT in the file, and \
         transaction = \"never\" in migration.toml.",
    ))
}

/// The table that everybody else is kept from.
fn locked<'a>(statement: &'a Read<'_>) -> Option<&'a Name> {
    match &statement.kind {
        StatementKind::AlterTable { table, actions, .. } => {
            let strong = |action: &AlterAction| match action {
                AlterAction::ValidateConstraint { .. } | AlterAction::AttachPartition { .. } => false,
                AlterAction::Other { words } => !WEAK.iter().any(|weak| words.starts_with(weak)),
                _ => true,
            };
            actions.iter().any(strong).then_some(table)
        }
        StatementKind::Truncate { tables } => tables.first(),
        _ => None,
    }
}

/// What takes SHARE UPDATE EXCLUSIVE only, or may.
const WEAK: [&str; 5] = ["SET STATISTICS", "SET", "RESET", "CLUSTER ON", "ALTER"];

fn is_slow(reading: &Reading<'_>, index: usize) -> bool {
    let statement = &reading.statements[index];
    let of_rows = match &statement.kind {
        StatementKind::CreateIndex { .. } => true,
        StatementKind::AlterTable { actions, .. } => {
            actions.iter().any(|action| matches!(action, AlterAction::ValidateConstraint { .. }))
        }
        StatementKind::RefreshMaterializedView { .. } => return true,
        _ => touches_every_row(reading, index) && !reading.runs_in_batches(index),
    };
    of_rows && statement.tables().iter().any(|table| !is_new(reading, index, table))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, lint, rules_among};

    fn found(sql: Sql<'_>) -> Vec<String> {
        rules_among(sql, &["stopover/lock-held-while-slow"])
    }

    #[test]
    fn whoever_holds_a_lock_does_no_long_work() {
        let sql = "BEGIN;\nALTER TABLE t ADD a int;\nSELECT 1;\nUPDATE t SET a = 1;\nCREATE INDEX i ON t (a);\nCOMMIT;";
        assert_eq!(found(Sql::up(sql)), ["4:1 stopover/lock-held-while-slow"]);
        let beside = "VACUUM t;\nBEGIN;\nALTER TABLE t ADD a int;\nUPDATE t SET a = 1;\nCOMMIT;";
        assert_eq!(found(Sql::up(beside)), ["4:1 stopover/lock-held-while-slow"]);
        let report = lint(Sql::up(sql));
        let message = &report.findings.iter().find(|f| f.rule.name().contains("lock-held")).unwrap().message;
        assert!(
            message.starts_with("t is locked against readers and writers from line 2 until"),
            "{message}"
        );
        assert_eq!(found(Sql::up("ALTER TABLE t DROP a;\nALTER TABLE u VALIDATE CONSTRAINT c;")).len(), 1);
    }

    #[test]
    fn short_work_new_tables_and_transactions_of_their_own_are_fine() {
        for sql in [
            "UPDATE t SET a = 1;\nALTER TABLE t ADD b int;",
            "ALTER TABLE t ADD a int;\nUPDATE t SET a = 1 WHERE id = 1;",
            "CREATE TABLE t (a int);\nALTER TABLE t ADD b int;\nCREATE INDEX i ON t (a);\nUPDATE big SET a = 1;",
            "ALTER TABLE t ADD a int;\nCREATE TABLE u (a int);\nCREATE INDEX i ON u (a);",
            "ALTER TABLE t ADD a int;\nUPDATE t SET a = 1;\nCREATE INDEX CONCURRENTLY i ON t (a);",
            "ALTER TABLE t VALIDATE CONSTRAINT c;\nALTER TABLE t VALIDATE CONSTRAINT d;",
            "BEGIN;\nALTER TABLE t ADD a int;\nCOMMIT;\nBEGIN;\nUPDATE t SET a = 1;\nCOMMIT;",
            "BEGIN;\nCREATE TABLE t (a int);\nINSERT INTO t SELECT 1;\nALTER TABLE t ADD b int;\nUPDATE t SET b = 1;\nCOMMIT;\nVACUUM t;",
        ] {
            assert_eq!(found(Sql::up(sql)), [""; 0], "{sql}");
        }
    }
}
