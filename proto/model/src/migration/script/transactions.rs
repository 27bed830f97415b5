//! Which statements of a script share a transaction, and what forces them apart.

use super::directives;
use super::outline::{Block, Outline, block_at, leading_modes};
use crate::migration::TransactionMode;
use crate::sql::{
    Statement, StatementKind, TransactionModes, Transactionality, is_session_setting, uses_new_enum_value,
};

/// Which statements of a script share a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transactions {
    /// All of them share one, with these modes.
    pub whole: Option<TransactionModes>,
    /// Where they don't: the file's own blocks. What is in none of them stands alone.
    pub blocks: Vec<Block>,
}

impl Transactions {
    pub(super) fn of(outline: Outline<'_>, mode: TransactionMode) -> Self {
        match Apart::why(&outline, mode) {
            None => Self { whole: Some(modes_of_all(&outline)), blocks: Vec::new() },
            Some(_) => Self { whole: None, blocks: outline.blocks },
        }
    }

    /// The block of a statement, counted from 1.
    #[must_use]
    pub fn block_number(&self, index: usize) -> Option<usize> {
        block_at(&self.blocks, index).map(|at| at + 1)
    }
}

/// Why a file's statements can't all share one transaction.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Apart {
    Statement {
        line: u32,
        reason: String,
    },
    OwnBlock {
        line: u32,
    },
    /// `transaction = "never"`.
    Told,
}

impl Apart {
    pub(super) fn why(outline: &Outline<'_>, mode: TransactionMode) -> Option<Self> {
        if is_one_block(outline) {
            return None;
        }
        let statements = &outline.statements;
        let own = statements.iter().find_map(|statement| match statement.transactionality() {
            Transactionality::OwnTransaction { reason } => {
                Some(Self::Statement { line: statement.line, reason })
            }
            Transactionality::InTransaction => directives::of(statement)
                .map(|_| Self::Statement { line: statement.line, reason: directives::REASON.to_owned() }),
        });
        if own.is_some() {
            return own;
        }
        if let Some(block) = outline.blocks.first() {
            return Some(Self::OwnBlock { line: block.line });
        }
        if mode == TransactionMode::Never {
            return Some(Self::Told);
        }
        let used = uses_new_enum_value(statements)?;
        Some(Self::Statement { line: statements[used.used].line, reason: used.reason(statements) })
    }
}

impl std::fmt::Display for Apart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Statement { line, reason } => {
                write!(f, "line {line} keeps the file from running in one transaction ({reason})")
            }
            Self::OwnBlock { line } => {
                write!(f, "the file has a BEGIN of its own in line {line}, and this is outside of it")
            }
            Self::Told => f.write_str("the file was told to run without a transaction around it"),
        }
    }
}

/// One block, and nothing but settings of the session around it.
fn is_one_block(outline: &Outline<'_>) -> bool {
    let [block] = &outline.blocks[..] else { return false };
    outline
        .statements
        .iter()
        .enumerate()
        .filter(|(index, _)| !block.statements.contains(index))
        .all(|(_, statement)| may_move_inside(statement, block.modes))
}

/// A query would be the one that the transaction's snapshot is taken for.
fn may_move_inside(statement: &Statement<'_>, modes: TransactionModes) -> bool {
    is_session_setting(statement) && !(modes.one_snapshot() && statement.kind() == StatementKind::Select)
}

fn modes_of_all(outline: &Outline<'_>) -> TransactionModes {
    match outline.blocks.first() {
        Some(block) => block.modes,
        None => leading_modes(&outline.statements),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    fn of(sql: &str) -> Transactions {
        Transactions::of(Outline::read(split(sql).unwrap()).unwrap(), TransactionMode::Auto)
    }

    fn why(sql: &str, mode: TransactionMode) -> String {
        Apart::why(&Outline::read(split(sql).unwrap()).unwrap(), mode).unwrap().to_string()
    }

    #[test]
    fn one_transaction_where_nothing_forces_the_file_apart() {
        for sql in [
            "",
            "SELECT 1; SELECT 2",
            "BEGIN; SELECT 1; SELECT 2; COMMIT",
            "BEGIN; COMMIT; SELECT 1; SELECT 2",
            "SET lock_timeout = '1s'; SELECT set_config('a.b', 'c', false); BEGIN; SELECT 1; COMMIT; RESET lock_timeout",
        ] {
            assert!(of(sql).whole.is_some(), "{sql}");
        }
        let serializable = of("SET search_path = app; BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT");
        assert!(serializable.whole.unwrap().one_snapshot());
        assert!(of("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1").whole.unwrap().one_snapshot());
    }

    #[test]
    fn the_files_own_blocks_are_kept_apart() {
        let two = of("BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; SELECT 3; COMMIT;");
        assert_eq!((two.whole, two.blocks.len()), (None, 2));
        assert_eq!([0, 1, 2].map(|index| two.block_number(index)), [Some(1), Some(2), Some(2)]);
        let beside = of("BEGIN; SELECT 1; COMMIT; SELECT 2");
        assert_eq!((beside.whole, beside.block_number(1)), (None, None));
    }

    #[test]
    fn a_query_stays_before_a_transaction_with_one_snapshot() {
        let sql = "SELECT set_config('a.b', 'c', false); BEGIN ISOLATION LEVEL REPEATABLE READ; LOCK TABLE t; COMMIT";
        assert_eq!(of(sql).whole, None);
    }

    #[test]
    fn what_forces_a_file_apart_is_named() {
        let auto = |sql| why(sql, TransactionMode::Auto);
        assert!(auto("BEGIN; SELECT 1; COMMIT;\nVACUUM;").starts_with("line 2 keeps the file from running"));
        assert!(
            auto("SELECT 1;\nBEGIN; SELECT 1; COMMIT;")
                .starts_with("the file has a BEGIN of its own in line 2")
        );
        assert!(auto("ALTER TYPE m ADD VALUE 'x';\nSELECT 'x'::m").contains("enum value 'x', which line 1"));
        assert!(why("SELECT 1", TransactionMode::Never).starts_with("the file was told"));
    }
}
