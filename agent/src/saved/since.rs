//! Whether somebody has written a row since a time, by what PostgreSQL keeps of each row's transaction.

use crate::postgres::{QueryError, Session};

/// A place in the order of transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Since {
    snapshot: String,
    /// The snapshot's own.
    transaction: i64,
}

impl Since {
    /// The transaction that runs.
    pub(super) async fn now(session: &Session) -> Result<Self, QueryError> {
        let sql = "SELECT pg_catalog.txid_current_snapshot()::text, pg_catalog.txid_current()";
        let rows = session.query(sql, &[]).await?;
        let row = rows.first().ok_or_else(|| QueryError::Answer("no snapshot".to_owned()))?;
        Ok(Self { snapshot: row.get(0), transaction: row.get(1) })
    }

    /// As the manifest has it.
    pub(super) fn read(text: Option<&str>) -> Option<Self> {
        let (snapshot, transaction) = text?.split_once(' ')?;
        let digits = |c: char| c.is_ascii_digit() || c == ':' || c == ',';
        let fits = !snapshot.is_empty() && snapshot.chars().all(digits);
        Some(Self { snapshot: snapshot.to_owned(), transaction: transaction.parse().ok()? }).filter(|_| fits)
    }

    pub(super) fn written(&self) -> String {
        format!("{} {}", self.snapshot, self.transaction)
    }

    /// Whether nobody has written the row `t` since. A row has the last 32 bits of its transaction's number; the whole is
    /// taken to be near the snapshot, and a row for which that is wrong counts as written since.
    pub(super) fn is_older(&self) -> String {
        let Self { snapshot, transaction } = self;
        let top = snapshot.split(':').nth(1).unwrap_or("0");
        let number = format!(
            "({top}::bigint + (t.xmin::text::bigint - ({top}::bigint & 4294967295) + 6442450944) % 4294967296 - 2147483648)"
        );
        format!(
            "({number} = {transaction} OR pg_catalog.txid_visible_in_snapshot({number}, '{snapshot}'::pg_catalog.txid_snapshot))"
        )
    }
}
