//! One SQL file of a migration, checked: text that PostgreSQL can take, split into statements.

use serde::{Deserialize, Serialize};

use super::source::TransactionMode;
use crate::sql::{self, Statement, StatementKind, Transactionality};

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

/// What people see of a script before it runs, and what progress refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptSummary {
    /// One transaction for all statements, or each on its own.
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
}

impl Script {
    /// Checks the bytes of a file. A byte order mark is accepted and dropped.
    pub fn parse(bytes: &[u8]) -> Result<Self, ScriptError> {
        Self::parse_as(bytes, Reading::default())
    }

    /// Checks the bytes of a file, or of a part of one.
    pub fn parse_as(bytes: &[u8], reading: Reading) -> Result<Self, ScriptError> {
        let checked = std::str::from_utf8(bytes)
            .map_err(|e| {
                let line = line_of(bytes, e.valid_up_to());
                ScriptError { line, message: "this is not valid UTF-8; save the file as UTF-8".to_owned() }
            })
            .and_then(|text| {
                let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
                let script = Self { text, reading };
                script.check().map(|()| script)
            });
        checked.map_err(|error| ScriptError { line: reading.line(error.line), ..error })
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

    /// The statements to send, in order, with their lines in the file. A BEGIN at the start with its COMMIT at the end is
    /// the file's own word for one transaction, so both are left out.
    #[must_use]
    pub fn statements(&self) -> Vec<Statement<'_>> {
        self.inner().1
    }

    /// Whether all statements run in one transaction.
    #[must_use]
    pub fn one_transaction(&self) -> bool {
        let (wrapped, statements) = self.inner();
        (wrapped || self.reading.transaction == TransactionMode::Auto)
            && statements.iter().all(|s| s.transactionality() == Transactionality::InTransaction)
    }

    #[must_use]
    pub fn summary(&self) -> ScriptSummary {
        let statements = self.statements().iter().map(summary_of).collect();
        ScriptSummary { one_transaction: self.one_transaction(), statements }
    }

    /// The statements, and whether BEGIN and COMMIT stood around them.
    fn inner(&self) -> (bool, Vec<Statement<'_>>) {
        let mut statements = sql::split(&self.text).unwrap_or_default();
        let wrapped = is_wrapped(&statements);
        if wrapped {
            statements.pop();
            statements.remove(0);
        }
        for statement in &mut statements {
            statement.line = self.reading.line(statement.line);
        }
        (wrapped, statements)
    }

    fn check(&self) -> Result<(), ScriptError> {
        let all = sql::split(&self.text).map_err(|e| {
            let (line, message) = (e.line(), e.to_string());
            let message = message.strip_prefix(&format!("line {line}: ")).unwrap_or(&message).to_owned();
            ScriptError { line, message }
        })?;
        let wrapped = is_wrapped(&all);
        let inner = if wrapped { &all[1..all.len() - 1] } else { &all[..] };
        if inner.is_empty() && self.reading.must_do_something {
            let message =
                "the file holds no statement; a migration that does nothing can't be told from a mistake";
            return Err(ScriptError { line: 0, message: message.to_owned() });
        }
        for statement in inner {
            check_statement(statement, wrapped)?;
        }
        check_directives(&self.text)
    }
}

impl Reading {
    /// 0 means the whole file, and stays.
    fn line(self, line: u32) -> u32 {
        if line == 0 { 0 } else { line.saturating_add(self.first_line.saturating_sub(1)) }
    }
}

fn check_statement(statement: &Statement<'_>, wrapped: bool) -> Result<(), ScriptError> {
    let fail = |line: u32, message: String| Err(ScriptError { line, message });
    match statement.kind() {
        StatementKind::Begin
        | StatementKind::Commit
        | StatementKind::Rollback
        | StatementKind::PrepareTransaction => {
            let message = "transaction control in the middle of a file is not supported yet; remove it: statements that \
                           may share a transaction run in one, and the others run one at a time";
            return fail(statement.line, message.to_owned());
        }
        StatementKind::Savepoint => {
            let message =
                "savepoints are not supported: subtransactions under a long transaction stall replicas";
            return fail(statement.line, message.to_owned());
        }
        _ => {}
    }
    if let (true, Transactionality::OwnTransaction { reason }) = (wrapped, statement.transactionality()) {
        let message =
            format!("this can't run between BEGIN and COMMIT: {reason}; remove the file's BEGIN and COMMIT");
        return fail(statement.line, message);
    }
    if let Some((name, line)) = sql::overlong_identifiers(statement).into_iter().next() {
        let message = format!(
            "the identifier `{name}` is longer than 63 bytes; PostgreSQL would cut it, and two of them could collide"
        );
        return fail(line, message);
    }
    Ok(())
}

/// `-- stopover:` comments change what a statement does; one that isn't understood must never be passed over.
fn check_directives(text: &str) -> Result<(), ScriptError> {
    let directive = sql::comments(text).find_map(|c| Some((c.start, c.content().strip_prefix("stopover:")?)));
    let Some((start, directive)) = directive else {
        return Ok(());
    };
    let shown: String = directive.trim().chars().take(40).flat_map(char::escape_debug).collect();
    let message = format!(
        "the directive `stopover: {shown}` is not supported yet; remove the comment, or give an up.batch.sql"
    );
    Err(ScriptError { line: line_of(text.as_bytes(), start), message })
}

fn is_wrapped(statements: &[Statement<'_>]) -> bool {
    match statements {
        [first, .., last] => first.kind() == StatementKind::Begin && last.kind() == StatementKind::Commit,
        _ => false,
    }
}

fn summary_of(statement: &Statement<'_>) -> StatementSummary {
    const LONGEST: usize = 120;
    let words = statement.text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text: String = words.chars().take(LONGEST).collect();
    if words.chars().count() > LONGEST {
        text.push('…');
    }
    let own_transaction = match statement.transactionality() {
        Transactionality::InTransaction => None,
        Transactionality::OwnTransaction { reason } => Some(reason),
    };
    StatementSummary { line: statement.line, text, own_transaction }
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
        assert!(error("SELECT 1;\nCOMMIT;\nSELECT 2;").starts_with("line 2: transaction control"));
        assert!(
            error("BEGIN;\nCREATE INDEX CONCURRENTLY i ON t (a);\nCOMMIT;")
                .starts_with("line 2: this can't run")
        );
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
        assert!(error("SELECT 1;\nCOMMIT;").starts_with("line 11: transaction control"));
        assert_eq!(Script::parse_as(b"-- nothing", reading).unwrap().statements(), []);
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
        let message = error("SELECT 1;\n-- stopover: backfil\nUPDATE t SET a = 1;");
        assert!(message.starts_with("line 2: the directive `stopover: backfil`"), "{message}");
    }

    #[test]
    fn the_summary_says_what_stands_alone_and_why() {
        let script =
            Script::parse(b"ALTER TABLE t\n  ADD a int;\nCREATE INDEX CONCURRENTLY i ON t (a)").unwrap();
        let summary = script.summary();
        assert!(!summary.one_transaction);
        assert_eq!(summary.statements[0].text, "ALTER TABLE t ADD a int");
        assert_eq!((summary.statements[1].line, summary.statements[1].own_transaction.is_some()), (3, true));
    }
}
