//! What PostgreSQL says went wrong, in words that may be stored and shown.
//!
//! DETAIL and CONTEXT are dropped: they quote rows ("Key (email)=(…) already exists"). Values that the message itself
//! quotes are struck out where its class is known to quote data.

use std::error::Error as _;

use stopover_model::cause;
use stopover_model::report::{Effect, ErrorClass, StepError};
use tokio_postgres::error::{DbError, ErrorPosition, Severity};

use super::text::shown;

/// What became of a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The server refused or broke off the statement; the session goes on.
    #[error("{}", .0.message)]
    Database(Box<DatabaseError>),
    /// The session is gone. Whether the last statement took effect is not known here.
    #[error("the connection to the database was lost: {0}")]
    Lost(String),
    /// The answer was not what the product expects.
    #[error("the database's answer could not be read: {0}")]
    Answer(String),
}

/// An error that the server reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseError {
    pub sqlstate: String,
    pub message: String,
    pub hint: Option<String>,
    /// In the statement that was sent: in characters, from 1.
    pub position: Option<u32>,
    /// In the body of a DO block, from 1.
    pub block_line: Option<u32>,
}

impl From<tokio_postgres::Error> for QueryError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(found) = error.as_db_error() {
            // After these the server closes the connection.
            return match found.parsed_severity() {
                Some(Severity::Fatal | Severity::Panic) => Self::Lost(shown(found.message(), 500)),
                _ => Self::Database(Box::new(DatabaseError::from(found))),
            };
        }
        let text = source_text(&error);
        let io = error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
        if io || error.is_closed() { Self::Lost(text) } else { Self::Answer(text) }
    }
}

impl From<&DbError> for DatabaseError {
    fn from(error: &DbError) -> Self {
        let sqlstate = error.code().code().to_owned();
        let message = shown(error.message(), 1_000);
        Self {
            message: if sqlstate.starts_with("22") { without_values(&message) } else { message },
            hint: error.hint().map(|hint| shown(hint, 1_000)),
            position: match error.position() {
                Some(ErrorPosition::Original(position)) => Some(*position),
                _ => None,
            },
            block_line: error.where_().and_then(block_line),
            sqlstate,
        }
    }
}

impl QueryError {
    /// PostgreSQL's SQLSTATE, where the server answered.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Database(error) => Some(&error.sqlstate),
            Self::Lost(_) | Self::Answer(_) => None,
        }
    }

    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Another try may well succeed: a lock was not to be had in time, a deadlock, a serialization failure.
    #[must_use]
    pub fn is_lock(&self) -> bool {
        matches!(self.sqlstate(), Some("55P03" | "40P01" | "40001"))
    }

    /// As the error of a step; `doing` is what was attempted: "read the ledger".
    #[must_use]
    pub fn into_step_error(self, doing: &str) -> StepError {
        match self {
            Self::Database(error) => StepError {
                class: class_of(&error.sqlstate),
                message: format!("{doing}: {}", error.message),
                hint: error.hint.or_else(|| hint_of(&error.sqlstate).map(str::to_owned)),
                sqlstate: Some(error.sqlstate),
                place: None,
                effect: Effect::None,
            },
            Self::Lost(_) => StepError::new(ErrorClass::Transient, format!("{doing}: {self}"))
                .with_hint("it is tried again; look at the database's log when it does not pass"),
            Self::Answer(_) => StepError::new(ErrorClass::Internal, format!("{doing}: {self}")),
        }
    }
}

/// The error of a query as the error of a step; `doing` is what was attempted: "count the rows of users".
#[must_use]
pub fn step_error(doing: &str, error: tokio_postgres::Error) -> StepError {
    QueryError::from(error).into_step_error(doing)
}

fn class_of(sqlstate: &str) -> ErrorClass {
    match sqlstate {
        "55P03" | "40P01" | "40001" => ErrorClass::Lock,
        // Read-only, privileges, disk or memory full, a feature or a library that isn't there.
        "25006" | "42501" | "53100" | "53200" | "58P01" | "3D000" => ErrorClass::Setup,
        "53300" | "53400" => ErrorClass::Transient,
        _ => match &sqlstate[..2.min(sqlstate.len())] {
            "08" | "57" if sqlstate != "57014" => ErrorClass::Transient,
            "28" => ErrorClass::Setup,
            _ => ErrorClass::Sql,
        },
    }
}

fn hint_of(sqlstate: &str) -> Option<&'static str> {
    match sqlstate {
        "42501" => {
            Some("grant the agent's database user what it lacks, or let it own the tables that are migrated")
        }
        "25006" => Some(
            "the session is read-only: point the agent's url at the primary, and check default_transaction_read_only",
        ),
        "53100" => Some("make room on the database's disk; nothing of the failed statement is left"),
        "57014" => {
            Some("somebody cancelled the statement, or a statement_timeout that the script set has passed")
        }
        "58P01" => Some("was the server's package upgraded under a running server? restart PostgreSQL"),
        _ => None,
    }
}

/// `invalid input syntax for type integer: "4111 1111"` quotes a row's value.
fn without_values(message: &str) -> String {
    let mut parts = message.split('"');
    let mut text = parts.next().unwrap_or_default().to_owned();
    while let Some(_value) = parts.next() {
        text.push_str("\"…\"");
        text.push_str(parts.next().unwrap_or_default());
    }
    text
}

/// `PL/pgSQL function inline_code_block line 5 at SQL statement`; only the name is the same in all languages.
fn block_line(context: &str) -> Option<u32> {
    let line = context.lines().find(|line| line.contains("inline_code_block"))?;
    let behind = line.split("inline_code_block").nth(1)?;
    behind.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

/// An error with its sources, for one line.
pub(super) fn source_text(error: &(dyn std::error::Error + 'static)) -> String {
    shown(&cause::once(error), 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_messages_of_data_errors_are_struck_out() {
        let message = "invalid input syntax for type integer: \"4111 1111\"";
        assert_eq!(without_values(message), "invalid input syntax for type integer: \"…\"");
        assert_eq!(without_values("division by zero"), "division by zero");
        assert_eq!(without_values("value \"9\" is out of range"), "value \"…\" is out of range");
        assert_eq!(without_values("odd \"secret"), "odd \"…\"");
    }

    #[test]
    fn the_line_of_a_block_is_found_in_any_language() {
        let context =
            "SQL statement \"UPDATE t\"\nPL/pgSQL-Funktion inline_code_block Zeile 12 bei SQL-Anweisung";
        assert_eq!(block_line(context), Some(12));
        assert_eq!(block_line("COPY t, line 3, column a: \"x\""), None);
    }

    #[test]
    fn classes_say_whether_another_try_makes_sense() {
        for (sqlstate, class) in [
            ("55P03", ErrorClass::Lock),
            ("57P01", ErrorClass::Transient),
            ("57014", ErrorClass::Sql),
            ("08006", ErrorClass::Transient),
            ("28P01", ErrorClass::Setup),
            ("42P01", ErrorClass::Sql),
            ("42501", ErrorClass::Setup),
            ("", ErrorClass::Sql),
        ] {
            assert_eq!(class_of(sqlstate), class, "{sqlstate}");
        }
    }
}
