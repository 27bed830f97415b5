//! What people see of a script before it runs, and what progress refers to.

use serde::{Deserialize, Serialize};

use super::{Transactions, directives};
use crate::backfill::Throttle;
use crate::sql::{Statement, Transactionality, uses_new_enum_value};

const LONGEST: usize = 120;

/// What people see of a script before it runs, and what progress refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptSummary {
    /// One transaction for all statements. Otherwise those of one block share one, and the others stand alone.
    pub one_transaction: bool,
    pub statements: Vec<StatementSummary>,
}

/// One statement of a [`ScriptSummary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementSummary {
    /// Line of the first token, from 1.
    pub line: u32,
    /// The beginning of the statement on one line, at most 120 characters.
    pub text: String,
    /// Why it can't share a transaction; None when it can.
    pub own_transaction: Option<String>,
    /// The how-manieth BEGIN ... COMMIT of the file it stands in, from 1. None where it stands in none, and where all
    /// statements run in one transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<u32>,
    /// What its author says of its speed, where it runs in batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Throttle>,
}

pub(super) fn of(statements: &[Statement<'_>], transactions: &Transactions) -> ScriptSummary {
    let new_value = uses_new_enum_value(statements).filter(|_| transactions.blocks.is_empty());
    let one = |(index, statement): (usize, &Statement<'_>)| {
        let backfill = directives::of(statement).map(|directive| Throttle::from(&directive));
        let own_transaction = match statement.transactionality() {
            Transactionality::OwnTransaction { reason } => Some(reason),
            Transactionality::InTransaction => {
                let batched = backfill.as_ref().map(|_| directives::REASON.to_owned());
                let used = new_value.as_ref().filter(|used| used.used == index);
                batched.or_else(|| used.map(|used| used.reason(statements)))
            }
        };
        let block = transactions.block_number(index).and_then(|number| u32::try_from(number).ok());
        StatementSummary {
            line: statement.line,
            text: shortened(statement.text),
            own_transaction,
            block,
            backfill,
        }
    };
    ScriptSummary {
        one_transaction: transactions.whole.is_some(),
        statements: statements.iter().enumerate().map(one).collect(),
    }
}

fn shortened(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text: String = words.chars().take(LONGEST).collect();
    if words.chars().count() > LONGEST {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::Script;

    fn summary(sql: &str) -> ScriptSummary {
        Script::parse(sql.as_bytes()).unwrap().summary()
    }

    #[test]
    fn the_summary_says_what_stands_alone_and_why() {
        let summary = summary("ALTER TABLE t\n  ADD a int;\nCREATE INDEX CONCURRENTLY i ON t (a)");
        assert!(!summary.one_transaction);
        assert_eq!(summary.statements[0].text, "ALTER TABLE t ADD a int");
        assert_eq!((summary.statements[1].line, summary.statements[1].own_transaction.is_some()), (3, true));
    }

    #[test]
    fn the_summary_says_what_shares_a_transaction() {
        let blocks = |sql: &str| summary(sql).statements.iter().map(|s| s.block).collect::<Vec<_>>();
        assert_eq!(
            blocks("BEGIN; SELECT 1; SELECT 2; COMMIT; VACUUM; BEGIN; SELECT 3; COMMIT"),
            [Some(1), Some(1), None, Some(2)]
        );
        assert_eq!(blocks("BEGIN; SELECT 1; COMMIT"), [None]);
    }

    #[test]
    fn a_use_of_a_new_enum_value_makes_the_statements_stand_alone() {
        let summary = summary("ALTER TYPE mood ADD VALUE 'glad';\nINSERT INTO t VALUES ('glad')");
        assert!(!summary.one_transaction);
        let why = summary.statements[1].own_transaction.as_deref().unwrap();
        assert!(why.contains("'glad', which line 1 adds"), "{why}");
    }

    #[test]
    fn a_summary_of_an_older_log_is_read() {
        let old =
            r#"{"one_transaction":true,"statements":[{"line":1,"text":"SELECT 1","own_transaction":null}]}"#;
        let read: ScriptSummary = serde_json::from_str(old).unwrap();
        assert_eq!(read, summary("SELECT 1"));
    }
}
