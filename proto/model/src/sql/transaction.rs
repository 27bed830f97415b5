//! What may run inside a transaction with other statements, and why not.
//!
//! The server's own rules (its documentation says "cannot be executed inside a transaction block" on each of these
//! pages), and the statements that may commit by themselves. Two rules of the server depend on its catalog and are not
//! seen here: REINDEX and CLUSTER of a partitioned table.

use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::do_block::{DoBlock, TransactionEnd};
use super::kind::{ReindexTarget, StatementKind};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "runs", rename_all = "snake_case")]
pub enum Transactionality {
    /// May share one transaction with the other statements of its file.
    InTransaction,
    /// Runs by itself, for this reason.
    OwnTransaction { reason: String },
}

impl Transactionality {
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self, Self::OwnTransaction { .. })
    }
}

pub(super) fn transactionality(kind: &StatementKind, text: &str) -> Transactionality {
    match own_transaction(kind, text) {
        Some(reason) => Transactionality::OwnTransaction { reason },
        None => Transactionality::InTransaction,
    }
}

fn own_transaction(kind: &StatementKind, text: &str) -> Option<String> {
    let refused = || Some(format!("PostgreSQL refuses {kind} inside a transaction"));
    match kind {
        StatementKind::CreateIndex { concurrently: true, .. }
        | StatementKind::DropIndex { concurrently: true, .. }
        | StatementKind::Reindex { concurrently: true, .. }
        | StatementKind::DetachPartitionConcurrently { .. } => Some(format!(
            "{kind} commits between its phases, so that it never blocks readers and writers for long"
        )),
        StatementKind::Reindex { target, .. } => match target {
            ReindexTarget::Index | ReindexTarget::Table => None,
            ReindexTarget::Schema => Some("REINDEX SCHEMA commits after each table".to_owned()),
            ReindexTarget::Database => Some("REINDEX DATABASE commits after each table".to_owned()),
            ReindexTarget::System => Some("REINDEX SYSTEM commits after each table".to_owned()),
        },
        StatementKind::Cluster { table: None } => {
            Some("CLUSTER without a table commits after each table".to_owned())
        }
        StatementKind::Vacuum
        | StatementKind::AlterSystem
        | StatementKind::CreateDatabase { .. }
        | StatementKind::DropDatabase { .. }
        | StatementKind::AlterDatabaseSetTablespace
        | StatementKind::CreateTablespace { .. }
        | StatementKind::DropTablespace { .. }
        | StatementKind::FinishPrepared
        | StatementKind::DiscardAll => refused(),
        StatementKind::CreateSubscription { creates_slot: true, .. } => Some(
            "CREATE SUBSCRIPTION makes a replication slot at the publisher, which no rollback removes"
                .to_owned(),
        ),
        StatementKind::AlterSubscription { reaches_publisher: true } => {
            Some("this ALTER SUBSCRIPTION changes the publisher too, which no rollback undoes".to_owned())
        }
        StatementKind::DropSubscription { .. } => Some(
            "DROP SUBSCRIPTION drops the publisher's replication slot, which no rollback restores".to_owned(),
        ),
        StatementKind::Call { procedure } => Some(format!("the procedure {procedure} may commit by itself")),
        StatementKind::Do { .. } => do_block(text),
        _ => None,
    }
}

fn do_block(text: &str) -> Option<String> {
    let mut at = Cursor::new(text);
    at.word("do");
    let block = DoBlock::read(at);
    Some(match block.ends_transaction()? {
        TransactionEnd::Commit => "the DO block commits by itself".to_owned(),
        TransactionEnd::Rollback => "the DO block rolls back by itself".to_owned(),
        TransactionEnd::Call => "the DO block calls a procedure, which may commit by itself".to_owned(),
        TransactionEnd::OtherLanguage => format!("the DO block in {} may commit by itself", block.language),
    })
}

#[cfg(test)]
mod tests;
