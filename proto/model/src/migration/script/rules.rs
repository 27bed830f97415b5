//! What a script may not hold, given what shares a transaction in it. Each refusal says why, and the way out.

use std::cell::LazyCell;
use std::collections::HashMap;

use super::ScriptError;
use super::outline::{Block, Outline};
use super::transactions::Apart;
use crate::migration::TransactionMode;
use crate::sql::{
    Fleeting, Isolation, Name, Statement, StatementKind, TransactionModes, Transactionality, identifiers,
    overlong_identifiers, session_isolation, uses_new_enum_value,
};

const AROUND: &str = "put BEGIN; and COMMIT; around the statements that belong together";

pub(super) fn check(outline: &Outline<'_>, mode: TransactionMode) -> Result<(), ScriptError> {
    for statement in &outline.statements {
        check_identifiers(statement)?;
        check_modes(statement)?;
    }
    for block in &outline.blocks {
        check_block(block, &outline.statements[block.statements.clone()])?;
    }
    match Apart::why(outline, mode) {
        Some(apart) => check_alone(outline, &apart),
        None => Ok(()),
    }
}

fn check_identifiers(statement: &Statement<'_>) -> Result<(), ScriptError> {
    let Some((name, line)) = overlong_identifiers(statement).into_iter().next() else { return Ok(()) };
    let message = format!(
        "the identifier `{name}` is longer than 63 bytes; PostgreSQL would cut it, and two of them could collide"
    );
    Err(ScriptError { line, message })
}

/// Modes that would not be obeyed, or that leave the ledger no place in the transaction.
fn check_modes(statement: &Statement<'_>) -> Result<(), ScriptError> {
    let level = session_isolation(statement)
        .filter(|level| matches!(level, Isolation::RepeatableRead | Isolation::Serializable));
    if let Some(level) = level {
        let message = format!(
            "an isolation level for the whole session is not supported: each transaction runs at the level that its own \
             BEGIN names; write BEGIN ISOLATION LEVEL {}; and COMMIT; around the statements that need it",
            level.sql()
        );
        return Err(ScriptError { line: statement.line, message });
    }
    let modes = match Fleeting::of(statement) {
        Some(Fleeting::Modes) => TransactionModes::of_set(statement.text),
        _ => None,
    };
    refuse_read_only(statement.line, modes.unwrap_or_default())
}

fn refuse_read_only(line: u32, modes: TransactionModes) -> Result<(), ScriptError> {
    if modes.read_only != Some(true) {
        return Ok(());
    }
    let message =
        "a READ ONLY transaction can't hold the ledger's row, which says that it was run; remove READ ONLY";
    Err(ScriptError { line, message: message.to_owned() })
}

fn check_block(block: &Block, statements: &[Statement<'_>]) -> Result<(), ScriptError> {
    refuse_read_only(block.line, block.modes)?;
    for statement in statements {
        if let Transactionality::OwnTransaction { reason } = statement.transactionality() {
            let message = format!(
                "this can't run between BEGIN (line {}) and COMMIT: {reason}; put COMMIT; before it, and BEGIN; behind it \
                 where something follows",
                block.line
            );
            return Err(ScriptError { line: statement.line, message });
        }
    }
    let Some(used) = uses_new_enum_value(statements) else { return Ok(()) };
    let message = format!(
        "this can't share a transaction with line {}: {}; put COMMIT; and BEGIN; between them",
        statements[used.added].line,
        used.reason(statements)
    );
    Err(ScriptError { line: statements[used.used].line, message })
}

/// What stands alone must not count on a transaction around it.
fn check_alone(outline: &Outline<'_>, apart: &Apart) -> Result<(), ScriptError> {
    let uses = LazyCell::new(|| Uses::of(outline));
    for (index, statement) in outline.statements.iter().enumerate() {
        if outline.block_of(index).is_some() {
            continue;
        }
        let Some(fleeting) = Fleeting::of(statement) else { continue };
        let (lost, instead) = match &fleeting {
            Fleeting::Lock => ("LOCK TABLE lets its lock go at once".to_owned(), ""),
            Fleeting::Setting => ("SET LOCAL has no effect".to_owned(), "write SET without LOCAL, or "),
            Fleeting::Constraints => ("SET CONSTRAINTS has no effect".to_owned(), ""),
            Fleeting::Modes => ("SET TRANSACTION has no effect".to_owned(), ""),
            Fleeting::Cursor => ("the cursor is closed at once".to_owned(), "declare it WITH HOLD, or "),
            Fleeting::Table { table } => {
                (format!("the temporary table {table} is dropped at once"), "leave ON COMMIT DROP out, or ")
            }
            Fleeting::Rows { table, .. } => (
                format!("the rows of the temporary table {table} are deleted at once"),
                "leave ON COMMIT DELETE ROWS out, or ",
            ),
        };
        if let Some(at) = uses.of_what_is_lost(&fleeting, index) {
            let message = format!("{lost}, since it stands alone: {apart}; {instead}{AROUND}");
            return Err(ScriptError { line: outline.statements[at].line, message });
        }
    }
    Ok(())
}

/// The last statement that names a relation.
struct Uses {
    any: HashMap<String, usize>,
    /// The last statement that stands alone and puts rows into it.
    filled_alone: HashMap<String, usize>,
}

impl Uses {
    fn of(outline: &Outline<'_>) -> Self {
        let mut uses = Self { any: HashMap::new(), filled_alone: HashMap::new() };
        for (index, statement) in outline.statements.iter().enumerate() {
            if outline.block_of(index).is_none()
                && let Some(table) = filled(statement)
            {
                uses.filled_alone.insert(table.name, index);
            }
            uses.any.extend(identifiers(statement).into_iter().map(|name| (name, index)));
        }
        uses
    }

    /// The statement to blame; None where the loss does no harm.
    fn of_what_is_lost(&self, fleeting: &Fleeting, index: usize) -> Option<usize> {
        let later = |uses: &HashMap<String, usize>, table: &Name| {
            uses.get(&table.name).copied().filter(|last| *last > index)
        };
        match fleeting {
            Fleeting::Table { table } | Fleeting::Rows { table, filled: true } => {
                later(&self.any, table).map(|_| index)
            }
            Fleeting::Rows { table, filled: false } => later(&self.filled_alone, table),
            _ => Some(index),
        }
    }
}

/// The table that the statement puts rows into.
fn filled(statement: &Statement<'_>) -> Option<Name> {
    match statement.kind() {
        StatementKind::Insert { table } | StatementKind::Copy { table: Some(table), .. } => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{Reading, Script};

    fn error(sql: &str) -> String {
        Script::parse(sql.as_bytes()).unwrap_err().to_string()
    }

    fn is_taken(sql: &str) -> bool {
        Script::parse(sql.as_bytes()).is_ok()
    }

    #[test]
    fn what_needs_a_transaction_is_refused_where_it_stands_alone() {
        for (sql, expected) in [
            ("LOCK TABLE t;", "LOCK TABLE lets its lock go at once"),
            ("SET LOCAL search_path = app;", "SET LOCAL has no effect"),
            ("SET CONSTRAINTS ALL DEFERRED;", "SET CONSTRAINTS has no effect"),
            ("SET TRANSACTION READ WRITE;", "SET TRANSACTION has no effect"),
            ("DECLARE c CURSOR FOR SELECT 1;", "the cursor is closed at once"),
            (
                "CREATE TEMP TABLE x (a int) ON COMMIT DROP; SELECT FROM x;",
                "the temporary table x is dropped",
            ),
            ("CREATE TEMP TABLE x ON COMMIT DELETE ROWS AS SELECT 1 AS a; SELECT a FROM x;", "the rows of"),
        ] {
            assert!(is_taken(sql), "{sql}: alone in one transaction");
            assert!(is_taken(&format!("BEGIN; {sql} COMMIT; VACUUM t;")), "{sql}: in a block");
            let message = error(&format!("VACUUM t;\n{sql}"));
            assert!(message.starts_with(&format!("line 2: {expected}")), "{message}");
            assert!(message.contains("line 1 keeps the file from running in one transaction (PostgreSQL"));
            assert!(message.ends_with(AROUND), "{message}");
            let message = error(&format!("BEGIN; SELECT 1; COMMIT;\n{sql}"));
            assert!(message.contains("the file has a BEGIN of its own in line 1"), "{message}");
            let never = Reading { transaction: TransactionMode::Never, ..Reading::default() };
            let message = Script::parse_as(sql.as_bytes(), never).unwrap_err().to_string();
            assert!(message.contains("told to run without a transaction"), "{message}");
        }
    }

    #[test]
    fn what_outlives_its_transaction_may_stand_alone() {
        assert!(is_taken("CREATE TEMP TABLE x (a int); INSERT INTO x VALUES (1); VACUUM t"));
        assert!(is_taken("CREATE TEMP TABLE x (a int) ON COMMIT DROP; VACUUM t"));
        assert!(is_taken("DECLARE c CURSOR WITH HOLD FOR SELECT 1; VACUUM t; FETCH c; CLOSE c"));
        assert!(is_taken("INSERT INTO notes VALUES ('LOCK TABLE t; SET LOCAL x = 1'); VACUUM t"));
        let table = "CREATE TEMP TABLE x (a int) ON COMMIT DELETE ROWS";
        assert!(is_taken(&format!("{table}; BEGIN; INSERT INTO x VALUES (1); COMMIT; VACUUM t")));
        assert!(is_taken(&format!("{table}; VACUUM t; INSERT INTO t SELECT a FROM x; DROP TABLE x")));
        let message = error(&format!("{table};\nVACUUM t;\nINSERT INTO x VALUES (1);"));
        assert!(message.starts_with("line 3: the rows of the temporary table x"), "{message}");
    }

    #[test]
    fn what_can_not_run_in_a_block_is_refused_with_its_line() {
        let message = error("BEGIN;\nCREATE INDEX CONCURRENTLY i ON t (a);\nCOMMIT;");
        assert!(message.starts_with("line 2: this can't run between BEGIN (line 1) and COMMIT"), "{message}");
        assert!(error("SELECT 1; BEGIN;\nVACUUM;\nCOMMIT;").starts_with("line 2: this can't run between"));
        let message = error("BEGIN;\nALTER TYPE m ADD VALUE 'x';\nUPDATE t SET m = 'x';\nCOMMIT; VACUUM");
        assert!(message.starts_with("line 3: this can't share a transaction with line 2"), "{message}");
        assert!(is_taken("BEGIN; ALTER TYPE m ADD VALUE 'x'; COMMIT; BEGIN; UPDATE t SET m = 'x'; COMMIT"));
    }

    #[test]
    fn modes_that_would_not_be_obeyed_are_refused() {
        for sql in [
            "SELECT 1;\nBEGIN READ ONLY; SELECT 1; COMMIT",
            "SELECT 1;\nSET TRANSACTION READ ONLY",
            "BEGIN;\nSET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY; SELECT 1; COMMIT",
        ] {
            assert!(error(sql).starts_with("line 2: a READ ONLY transaction"), "{}", error(sql));
        }
        let message =
            error("SELECT 1;\nSET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE");
        assert!(message.starts_with("line 2: an isolation level for the whole session"), "{message}");
        assert!(is_taken(
            "START TRANSACTION ISOLATION LEVEL SERIALIZABLE READ WRITE DEFERRABLE; SELECT 1; END"
        ));
    }
}
