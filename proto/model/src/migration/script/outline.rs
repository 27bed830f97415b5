//! A file's own BEGIN and COMMIT, and the statements inside and outside of them.

use std::ops::Range;

use super::ScriptError;
use crate::sql::{Fleeting, Statement, StatementKind, TransactionModes, commit_chains};

/// The statements between a BEGIN and its COMMIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Of the BEGIN.
    pub line: u32,
    /// Indexes into the script's statements; there is at least one.
    pub statements: Range<usize>,
    pub modes: TransactionModes,
}

/// A file's statements without BEGIN and COMMIT, and what these stood around.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    pub(super) statements: Vec<Statement<'a>>,
    pub(super) blocks: Vec<Block>,
}

impl<'a> Outline<'a> {
    /// Refuses what would leave a transaction open, or end one by other means than COMMIT.
    pub(super) fn read(all: Vec<Statement<'a>>) -> Result<Self, ScriptError> {
        let mut outline = Self::default();
        let mut open: Option<Block> = None;
        for statement in all {
            match statement.kind() {
                StatementKind::Begin => open = Some(outline.begin(&statement, open.as_ref())?),
                StatementKind::Commit => {
                    let Some(block) = open.take() else { return Err(commit_alone(&statement)) };
                    let modes = outline.close(block);
                    if commit_chains(statement.text) {
                        open = Some(outline.block(&statement, modes));
                    }
                }
                StatementKind::Rollback => return Err(rollback(&statement)),
                StatementKind::PrepareTransaction => return Err(prepare(&statement)),
                StatementKind::Savepoint => return Err(savepoint(&statement)),
                _ => outline.statements.push(statement),
            }
        }
        match open {
            Some(block) => Err(never_closed(&block)),
            None => Ok(outline),
        }
    }

    /// The block of a statement.
    pub(super) fn block_of(&self, index: usize) -> Option<&Block> {
        block_at(&self.blocks, index).map(|at| &self.blocks[at])
    }

    fn begin(&self, statement: &Statement<'_>, open: Option<&Block>) -> Result<Block, ScriptError> {
        if let Some(open) = open {
            let message = format!(
                "BEGIN in the transaction that line {} begins: psql would warn and go on in that one; remove this BEGIN, or \
                 put COMMIT; before it",
                open.line
            );
            return Err(ScriptError { line: statement.line, message });
        }
        let modes = TransactionModes::of_begin(statement.text).ok_or_else(|| {
            let message = "what stands behind this BEGIN is not understood; PostgreSQL takes ISOLATION LEVEL ..., \
                           READ WRITE and [NOT] DEFERRABLE";
            ScriptError { line: statement.line, message: message.to_owned() }
        })?;
        Ok(self.block(statement, modes))
    }

    fn block(&self, begin: &Statement<'_>, modes: TransactionModes) -> Block {
        let at = self.statements.len();
        Block { line: begin.line, statements: at..at, modes }
    }

    /// Gives the modes that a chained transaction goes on with.
    fn close(&mut self, mut block: Block) -> TransactionModes {
        block.statements.end = self.statements.len();
        block.modes = block.modes.then(leading_modes(&self.statements[block.statements.clone()]));
        let modes = block.modes;
        if !block.statements.is_empty() {
            self.blocks.push(block);
        }
        modes
    }
}

/// The place of a statement's block among all of them.
pub(super) fn block_at(blocks: &[Block], index: usize) -> Option<usize> {
    let at = blocks.partition_point(|block| block.statements.end <= index);
    blocks.get(at).filter(|block| block.statements.contains(&index)).map(|_| at)
}

/// What SET TRANSACTION says at the beginning of a transaction, where it is still allowed to.
pub(super) fn leading_modes(statements: &[Statement<'_>]) -> TransactionModes {
    let asks_nothing = |statement: &&Statement<'_>| {
        matches!(statement.kind(), StatementKind::Set { .. } | StatementKind::Lock { .. })
    };
    statements
        .iter()
        .take_while(asks_nothing)
        .filter(|statement| Fleeting::of(statement) == Some(Fleeting::Modes))
        .filter_map(|statement| TransactionModes::of_set(statement.text))
        .fold(TransactionModes::default(), TransactionModes::then)
}

fn commit_alone(statement: &Statement<'_>) -> ScriptError {
    let message = "COMMIT without a BEGIN before it: psql would warn, and everything before it has taken effect already; \
                   put BEGIN; before the statements that belong together, or remove this COMMIT";
    ScriptError { line: statement.line, message: message.to_owned() }
}

fn never_closed(block: &Block) -> ScriptError {
    let message = "this transaction is never ended: PostgreSQL would roll it back at the end of the session; put COMMIT; \
                   behind its last statement";
    ScriptError { line: block.line, message: message.to_owned() }
}

fn rollback(statement: &Statement<'_>) -> ScriptError {
    let message = "a script that rolls back is not supported: what it undoes would count as done; remove it together with \
                   the statements that it undoes";
    ScriptError { line: statement.line, message: message.to_owned() }
}

fn prepare(statement: &Statement<'_>) -> ScriptError {
    let message = "PREPARE TRANSACTION is not supported: it leaves a transaction that holds its locks until somebody ends \
                   it, and the ledger's row with it; write COMMIT; instead";
    ScriptError { line: statement.line, message: message.to_owned() }
}

fn savepoint(statement: &Statement<'_>) -> ScriptError {
    let message = "savepoints are not supported: subtransactions under a long transaction stall replicas; remove \
                   SAVEPOINT, RELEASE and ROLLBACK TO";
    ScriptError { line: statement.line, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn read(sql: &str) -> Outline<'_> {
        Outline::read(split(sql).unwrap()).unwrap()
    }

    fn error(sql: &str) -> String {
        Outline::read(split(sql).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn blocks_are_found_with_their_modes_and_without_begin_and_commit() {
        let sql = "SELECT 1;\nBEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT 2; SELECT 3;\nEND;\nSELECT 4;\n\
                   START TRANSACTION; COMMIT; BEGIN; SELECT 5; COMMIT WORK";
        let outline = read(sql);
        let texts: Vec<_> = outline.statements.iter().map(|s| s.text).collect();
        assert_eq!(texts, ["SELECT 1", "SELECT 2", "SELECT 3", "SELECT 4", "SELECT 5"]);
        let blocks: Vec<_> = outline.blocks.iter().map(|b| (b.line, b.statements.clone())).collect();
        assert_eq!(blocks, [(2, 1..3), (6, 4..5)]);
        assert!(outline.blocks[0].modes.one_snapshot() && !outline.blocks[1].modes.one_snapshot());
        assert_eq!(outline.block_of(2).map(|block| block.line), Some(2));
        assert_eq!(outline.block_of(3), None);
    }

    #[test]
    fn a_chained_transaction_goes_on_at_the_same_level() {
        let outline = read(
            "BEGIN; LOCK TABLE t; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1; COMMIT AND CHAIN; SELECT 2; \
             COMMIT; SELECT 3",
        );
        assert_eq!(outline.blocks.iter().map(|b| b.statements.clone()).collect::<Vec<_>>(), [0..3, 3..4]);
        assert!(outline.blocks.iter().all(|block| block.modes.one_snapshot()));
    }

    #[test]
    fn a_level_that_comes_too_late_is_left_to_the_server() {
        let outline = read("BEGIN; SELECT 1; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; COMMIT");
        assert!(!outline.blocks[0].modes.one_snapshot());
    }

    #[test]
    fn what_psql_would_only_warn_of_is_refused() {
        assert!(error("SELECT 1;\nCOMMIT;").starts_with("line 2: COMMIT without a BEGIN"));
        assert!(error("BEGIN; SELECT 1; COMMIT;\nEND;").starts_with("line 2: COMMIT without a BEGIN"));
        let twice = error("BEGIN;\nSELECT 1;\nSTART TRANSACTION; SELECT 2; COMMIT;");
        assert!(twice.starts_with("line 3: BEGIN in the transaction that line 1 begins"), "{twice}");
        assert!(error("SELECT 1;\nBEGIN;\nSELECT 1;").starts_with("line 2: this transaction is never ended"));
        assert!(
            error("BEGIN; SELECT 1;\nCOMMIT AND CHAIN;").starts_with("line 2: this transaction is never")
        );
    }

    #[test]
    fn only_commit_may_end_a_transaction() {
        for (sql, expected) in [
            ("BEGIN;\nROLLBACK;", "line 2: a script that rolls back"),
            ("BEGIN;\nABORT;", "line 2: a script that rolls back"),
            ("BEGIN;\nPREPARE TRANSACTION 'x';", "line 2: PREPARE TRANSACTION is not supported"),
            ("BEGIN;\nSAVEPOINT a;", "line 2: savepoints are not supported"),
            ("BEGIN;\nROLLBACK TO a;", "line 2: savepoints are not supported"),
            ("BEGIN LOUDLY;", "line 1: what stands behind this BEGIN"),
        ] {
            assert!(error(sql).starts_with(expected), "{sql}: {}", error(sql));
        }
    }
}
