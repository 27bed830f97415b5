//! The words behind BEGIN, COMMIT and SET TRANSACTION: at which level a transaction runs, and what follows it.

use super::cursor::Cursor;
use super::do_block::strings;
use super::kind::StatementKind;
use super::split::Statement;

/// What a transaction sees of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// The modes of a transaction, as far as they were said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransactionModes {
    pub isolation: Option<Isolation>,
    pub read_only: Option<bool>,
    pub deferrable: Option<bool>,
}

impl TransactionModes {
    /// Of BEGIN and START TRANSACTION; None where the server would not understand it.
    #[must_use]
    pub fn of_begin(text: &str) -> Option<Self> {
        let mut at = Cursor::new(text);
        if !at.words(&["start", "transaction"]) {
            at.word("begin");
            at.any_word(&["work", "transaction"]);
        }
        Self::read(at)
    }

    /// Of SET TRANSACTION and SET SESSION CHARACTERISTICS AS TRANSACTION; None where it is another statement, or says
    /// something else.
    #[must_use]
    pub fn of_set(text: &str) -> Option<Self> {
        let mut at = Cursor::new(text);
        at.word("set");
        at.any_word(&["local", "session"]);
        at.words(&["characteristics", "as"]);
        if at.word("transaction") { Self::read(at) } else { None }
    }

    /// These, with what a later statement says instead.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            isolation: later.isolation.or(self.isolation),
            read_only: later.read_only.or(self.read_only),
            deferrable: later.deferrable.or(self.deferrable),
        }
    }

    /// Whether everything in the transaction sees the database as its first query did, a ledger's query included.
    #[must_use]
    pub fn one_snapshot(self) -> bool {
        matches!(self.isolation, Some(Isolation::RepeatableRead | Isolation::Serializable))
    }

    /// For behind BEGIN. The level is always said, so that nothing else decides on it.
    #[must_use]
    pub fn sql(self) -> String {
        let isolation = self.isolation.unwrap_or(Isolation::ReadCommitted);
        let mut sql = format!("ISOLATION LEVEL {}", isolation.sql());
        match self.read_only {
            Some(true) => sql.push_str(" READ ONLY"),
            Some(false) => sql.push_str(" READ WRITE"),
            None => {}
        }
        match self.deferrable {
            Some(true) => sql.push_str(" DEFERRABLE"),
            Some(false) => sql.push_str(" NOT DEFERRABLE"),
            None => {}
        }
        sql
    }

    fn read(mut at: Cursor<'_>) -> Option<Self> {
        let mut modes = Self::default();
        while !at.is_at_end() {
            if at.words(&["isolation", "level"]) {
                modes.isolation = Some(Isolation::read(&mut at)?);
            } else if at.words(&["read", "only"]) {
                modes.read_only = Some(true);
            } else if at.words(&["read", "write"]) {
                modes.read_only = Some(false);
            } else if at.words(&["not", "deferrable"]) {
                modes.deferrable = Some(false);
            } else if at.word("deferrable") {
                modes.deferrable = Some(true);
            } else {
                return None;
            }
            if at.symbol(b',') && at.is_at_end() {
                return None;
            }
        }
        Some(modes)
    }
}

impl Isolation {
    fn read(at: &mut Cursor<'_>) -> Option<Self> {
        const LEVELS: [(&[&str], Isolation); 4] = [
            (&["read", "uncommitted"], Isolation::ReadUncommitted),
            (&["read", "committed"], Isolation::ReadCommitted),
            (&["repeatable", "read"], Isolation::RepeatableRead),
            (&["serializable"], Isolation::Serializable),
        ];
        LEVELS.iter().find(|(words, _)| at.words(words)).map(|(_, level)| *level)
    }

    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Self::ReadUncommitted => "READ UNCOMMITTED",
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// The level that a SET gives to all later transactions of the session.
#[must_use]
pub fn session_isolation(statement: &Statement<'_>) -> Option<Isolation> {
    let StatementKind::Set { setting, .. } = statement.kind() else { return None };
    match setting.as_str() {
        "session characteristics" => TransactionModes::of_set(statement.text)?.isolation,
        "default_transaction_isolation" => {
            let string = strings(statement.text).next().map(|(_, string)| string);
            let word = || statement.text.split_whitespace().next_back().map(str::to_owned);
            let value = string.or_else(word)?;
            Isolation::read(&mut Cursor::new(&value))
        }
        _ => None,
    }
}

/// Whether a COMMIT opens the next transaction at once, with the modes of the one that it ends.
#[must_use]
pub fn commit_chains(text: &str) -> bool {
    let mut at = Cursor::new(text);
    at.next();
    at.any_word(&["work", "transaction"]);
    at.words(&["and", "chain"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    #[test]
    fn modes_are_read_as_the_server_reads_them() {
        let read = |sql| TransactionModes::of_begin(sql).map(TransactionModes::sql);
        assert_eq!(read("BEGIN").unwrap(), "ISOLATION LEVEL READ COMMITTED");
        assert_eq!(
            read("start /* now */ transaction isolation level serializable, read only deferrable").unwrap(),
            "ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE"
        );
        assert_eq!(
            read("BEGIN WORK READ WRITE, NOT DEFERRABLE ISOLATION LEVEL repeatable read").unwrap(),
            "ISOLATION LEVEL REPEATABLE READ READ WRITE NOT DEFERRABLE"
        );
        assert_eq!(read("BEGIN ISOLATION LEVEL none"), None);
        assert_eq!(read("BEGIN TRANSACTION READ ONLY,"), None);
        assert_eq!(read("BEGIN 'SERIALIZABLE'"), None);
    }

    #[test]
    fn set_transaction_says_them_too() {
        let read = |sql| TransactionModes::of_set(sql).and_then(|modes| modes.isolation);
        assert_eq!(
            read("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE"),
            Some(Isolation::Serializable)
        );
        assert_eq!(
            read("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
            Some(Isolation::RepeatableRead)
        );
        assert_eq!(read("SET transaction_isolation = 'serializable'"), None);
        assert_eq!(read("SET search_path = transaction"), None);
    }

    #[test]
    fn a_level_for_the_whole_session_is_seen() {
        let level = |sql: &str| session_isolation(&split(sql).unwrap()[0]);
        for sql in [
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET default_transaction_isolation = 'serializable'",
            "SET default_transaction_isolation TO Serializable",
        ] {
            assert_eq!(level(sql), Some(Isolation::Serializable), "{sql}");
        }
        assert_eq!(level("SET default_transaction_isolation = DEFAULT"), None);
        assert_eq!(level("SET application_name = 'serializable'"), None);
    }

    #[test]
    fn a_chain_is_none_when_it_says_so() {
        assert!(commit_chains("COMMIT WORK AND CHAIN") && commit_chains("end and chain"));
        assert!(!commit_chains("COMMIT") && !commit_chains("COMMIT AND NO CHAIN"));
    }
}
