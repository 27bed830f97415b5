//! `stopover statements`: the statements of an SQL file as the agent would send them. Needs no server.

use std::fs;
use std::path::Path;

use serde::Serialize;
use stopover_model::sql::{self, Statement, Transactionality};

use super::Context;
use crate::failure::{Exit, Failure};
use crate::render::line::{Line, Tone};

#[derive(Serialize)]
struct Answer {
    statements: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    /// Byte offsets in the file: of the first token, and behind the last one, the `;` not included.
    start: usize,
    end: usize,
    line: u32,
    kind: String,
    in_transaction: bool,
    /// Why it may not share a transaction.
    reason: Option<String>,
}

pub(crate) fn run(context: &Context, file: &Path) -> Result<Exit, Failure> {
    let bytes = fs::read(file)
        .map_err(|error| Failure::usage(format!("could not read {}", file.display())).because(&error))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|b| *b == b'\n').count();
        Failure::usage(format!("{}: line {line}: this is not valid UTF-8", file.display()))
            .with_hint("save the file as UTF-8")
    })?;
    let statements =
        sql::split(text).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    let statements = shown(&statements);
    if context.output.json {
        context.output.json(&Answer { statements })?;
    } else {
        context.output.lines(&lines(&statements))?;
    }
    Ok(Exit::Done)
}

fn shown(statements: &[Statement<'_>]) -> Vec<Shown> {
    let enum_value = sql::uses_new_enum_value(statements);
    let reason = |index: usize, statement: &Statement<'_>| match statement.transactionality() {
        Transactionality::OwnTransaction { reason } => Some(reason),
        Transactionality::InTransaction => {
            let used = enum_value.as_ref().filter(|used| used.used == index)?;
            Some(format!(
                "it uses the enum value '{}', which line {} adds and which has to be committed first",
                used.value, statements[used.added].line
            ))
        }
    };
    let shown = |(index, statement): (usize, &Statement<'_>)| {
        let reason = reason(index, statement);
        Shown {
            start: statement.start,
            end: statement.end,
            line: statement.line,
            kind: statement.kind().to_string(),
            in_transaction: reason.is_none(),
            reason,
        }
    };
    statements.iter().enumerate().map(shown).collect()
}

fn lines(statements: &[Shown]) -> Vec<Line> {
    let bytes = |s: &Shown| format!("{}..{}", s.start, s.end);
    let widest = |of: fn(&Shown) -> usize| statements.iter().map(of).max().unwrap_or_default();
    let (line, kind) = (widest(|s| s.line.to_string().len()), widest(|s| s.kind.chars().count()));
    let range = statements.iter().map(|s| bytes(s).len()).max().unwrap_or_default();
    let shown = |s: &Shown| {
        let text = Line::new()
            .plain(format!("line {:<line$}  ", s.line))
            .dim(format!("{:<range$}  ", bytes(s)))
            .strong(format!("{:<kind$}  ", s.kind));
        match &s.reason {
            None => text.plain("in a transaction"),
            Some(reason) => text.with(Tone::Warn, "on its own").plain(format!(": {reason}")),
        }
    };
    statements.iter().map(shown).collect()
}
