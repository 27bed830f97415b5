//! One SQL file of a migration, checked: text that PostgreSQL can take, split into statements, and which of them share a
//! transaction.
//!
//! ```text
//! text ─ split ─> outline: statements, the file's own blocks ─> transactions: what shares one ─> rules ─> summary
//! ```

mod directives;
mod outline;
mod rules;
mod summary;
mod transactions;

pub use outline::Block;
use outline::Outline;
pub use summary::{ScriptSummary, StatementSummary};
pub use transactions::Transactions;

use super::source::TransactionMode;
use crate::backfill::Directive;
use crate::sql::{self, Statement};

/// A checked SQL file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    text: String,
    reading: Reading,
}

/// How an SQL file is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The line of its file, from 1, with which the text begins.
    pub first_line: u32,
    pub transaction: TransactionMode,
    /// Whether a text without a statement is refused.
    pub must_do_something: bool,
}

impl Default for Reading {
    fn default() -> Self {
        Self { first_line: 1, transaction: TransactionMode::Auto, must_do_something: true }
    }
}

/// What is wrong with an SQL file. The line is from 1; 0 is the whole file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if *.line == 0 { String::new() } else { format!("line {}: ", .line) })]
pub struct ScriptError {
    pub line: u32,
    pub message: String,
}

impl Script {
    /// Checks the bytes of a file. A byte order mark is accepted and dropped.
    pub fn parse(bytes: &[u8]) -> Result<Self, ScriptError> {
        Self::parse_as(bytes, Reading::default())
    }

    /// Checks the bytes of a file, or of a part of one.
    pub fn parse_as(bytes: &[u8], reading: Reading) -> Result<Self, ScriptError> {
        let text = std::str::from_utf8(bytes).map_err(|e| {
            let line = reading.line(line_of(bytes, e.valid_up_to()));
            ScriptError { line, message: "this is not valid UTF-8; save the file as UTF-8".to_owned() }
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let script = Self { text, reading };
        script.check().map(|()| script)
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line in the file of a line of [`Script::text`].
    #[must_use]
    pub fn line_in_file(&self, line: u32) -> u32 {
        self.reading.line(line)
    }

    /// The statements to send, in order, with their lines in the file. BEGIN and COMMIT are left out:
    /// [`Script::transactions`] says what they stood around.
    #[must_use]
    pub fn statements(&self) -> Vec<Statement<'_>> {
        self.outline().map(|outline| outline.statements).unwrap_or_default()
    }

    /// Which of the [`Script::statements`] share a transaction.
    #[must_use]
    pub fn transactions(&self) -> Transactions {
        self.outline().map(|outline| Transactions::of(outline, self.reading.transaction)).unwrap_or_default()
    }

    /// Whether all statements run in one transaction.
    #[must_use]
    pub fn one_transaction(&self) -> bool {
        self.transactions().whole.is_some()
    }

    /// What the comment above one of the [`Script::statements`] asks for.
    #[must_use]
    pub fn backfill(&self, statement: &Statement<'_>) -> Option<Directive> {
        directives::of(statement)
    }

    /// Whether the comment above one of the [`Script::statements`] says that what it drops is not worth saving.
    #[must_use]
    pub fn saves_nothing(&self, statement: &Statement<'_>) -> bool {
        directives::saves_nothing(statement)
    }

    #[must_use]
    pub fn summary(&self) -> ScriptSummary {
        summary::of(&self.statements(), &self.transactions())
    }

    fn outline(&self) -> Result<Outline<'_>, ScriptError> {
        let mut statements = sql::split(&self.text).map_err(|e| {
            let (line, message) = (e.line(), e.to_string());
            let message = message.strip_prefix(&format!("line {line}: ")).unwrap_or(&message).to_owned();
            ScriptError { line: self.reading.line(line), message }
        })?;
        for statement in &mut statements {
            statement.line = self.reading.line(statement.line);
        }
        Outline::read(statements)
    }

    fn check(&self) -> Result<(), ScriptError> {
        let outline = self.outline()?;
        if outline.statements.is_empty() && self.reading.must_do_something {
            let message =
                "the file holds no statement; a migration that does nothing can't be told from a mistake";
            return Err(ScriptError { line: 0, message: message.to_owned() });
        }
        rules::check(&outline, self.reading.transaction)?;
        directives::check(&self.text, &outline, self.reading)
    }
}

impl Reading {
    /// 0 means the whole file, and stays.
    fn line(self, line: u32) -> u32 {
        if line == 0 { 0 } else { line.saturating_add(self.first_line.saturating_sub(1)) }
    }
}

fn line_of(bytes: &[u8], at: usize) -> u32 {
    let lines = bytes[..at].split(|b| *b == b'\n').count();
    u32::try_from(lines).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(sql: &str) -> String {
        Script::parse(sql.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_postgresql_could_not_take_is_refused_with_its_line() {
        assert!(
            Script::parse(b"SELECT 1;\n\xff")
                .unwrap_err()
                .to_string()
                .starts_with("line 2: this is not valid UTF-8")
        );
        assert!(error("").contains("holds no statement"));
        assert!(error("-- nothing\n").contains("holds no statement"));
        assert!(error("BEGIN; COMMIT;").contains("holds no statement"));
        assert!(error(&format!("CREATE TABLE {} (a int)", "x".repeat(64))).contains("63 bytes"));
    }

    #[test]
    fn a_byte_order_mark_and_the_files_own_transaction_are_dropped() {
        let script = Script::parse("\u{feff}BEGIN;\nSELECT 1;\nCOMMIT;\n".as_bytes()).unwrap();
        assert!(script.one_transaction());
        assert_eq!(script.statements().iter().map(|s| s.text).collect::<Vec<_>>(), ["SELECT 1"]);
    }

    #[test]
    fn a_part_of_a_file_has_the_files_lines() {
        let reading = Reading { first_line: 10, must_do_something: false, ..Reading::default() };
        let script = Script::parse_as(b"-- up\nSELECT 1", reading).unwrap();
        assert_eq!((script.summary().statements[0].line, script.line_in_file(2)), (11, 11));
        let error = |sql: &str| Script::parse_as(sql.as_bytes(), reading).unwrap_err().to_string();
        assert!(
            error("SELECT 1;\n\\i x").starts_with("line 11: \\i is a command"),
            "{}",
            error("SELECT 1;\n\\i x")
        );
        assert!(error("SELECT 1;\nCOMMIT;").starts_with("line 11: COMMIT without"));
        assert_eq!(Script::parse_as(b"-- nothing", reading).unwrap().statements(), []);
    }

    #[test]
    fn lines_inside_a_message_are_the_files_too() {
        let reading = Reading { first_line: 10, ..Reading::default() };
        let error = Script::parse_as(b"BEGIN;\nSELECT 1;\nBEGIN;", reading).unwrap_err();
        assert_eq!(error.line, 12);
        assert!(error.message.contains("line 10"), "{error}");
    }

    #[test]
    fn statements_stand_alone_where_that_is_wanted_unless_the_file_says_otherwise() {
        let reading = Reading { transaction: TransactionMode::Never, ..Reading::default() };
        let one = |sql: &str| Script::parse_as(sql.as_bytes(), reading).unwrap().one_transaction();
        assert!(!one("SELECT 1; SELECT 2"));
        assert!(one("BEGIN; SELECT 1; SELECT 2; COMMIT;"));
    }

    #[test]
    fn a_directive_is_never_passed_over() {
        for (sql, expected) in [
            (
                "SELECT 1;\n-- stopover: backfil\nUPDATE t SET a = 1;",
                "line 3: the directive `stopover: backfil` is not known",
            ),
            ("-- stopover: backfill\n-- stopover: backfill\nUPDATE t SET a = 1;", "line 3: two directives"),
            ("UPDATE t -- stopover: backfill\nSET a = 1;", "line 1: a directive stands above its statement"),
            (
                "UPDATE t SET a = 1;\n-- stopover: backfill\n",
                "line 2: a directive stands above its statement",
            ),
            ("BEGIN;\n-- stopover: backfill\nUPDATE t SET a = 1;\nCOMMIT;", "line 3: a backfill commits"),
            (
                "-- stopover: backfill\nUPDATE t\nSET a = 1\nRETURNING a;",
                "line 4: the backfill can't run in batches: RETURNING",
            ),
        ] {
            assert!(error(sql).starts_with(expected), "{sql}\n{}", error(sql));
        }
    }

    #[test]
    fn what_a_statement_drops_need_not_be_saved() {
        let script = Script::parse(b"DROP TABLE a;\n-- stopover: save=off\nDROP TABLE b;").unwrap();
        let statements = script.statements();
        assert!(!script.saves_nothing(&statements[0]) && script.saves_nothing(&statements[1]));
        for (sql, expected) in [
            (
                "-- stopover: save=on\nDROP TABLE a;",
                "line 2: `stopover: save=on` is not known; what is dropped is saved",
            ),
            ("-- stopover: save=off\nSELECT 1;", "line 2: the statement drops nothing"),
            ("DROP TABLE a;\n-- stopover: save=off\n", "line 2: a directive stands above its statement"),
        ] {
            assert!(error(sql).starts_with(expected), "{}", error(sql));
        }
    }

    #[test]
    fn a_backfill_shares_no_transaction() {
        let script =
            Script::parse(b"ALTER TABLE t ADD a int;\n-- stopover: backfill key=id\nUPDATE t SET a = 1")
                .unwrap();
        assert!(!script.one_transaction());
        let statements = script.statements();
        assert_eq!(script.backfill(&statements[0]), None);
        assert_eq!(script.backfill(&statements[1]).unwrap().key, ["id"]);
    }
}
