//! `stopover statements`: the statements of an SQL file as the agent would send them. Needs no server.

use std::fs;
use std::path::Path;

use serde::Serialize;
use stopover_model::migration::{Reading, Script, ScriptSummary};
use stopover_model::sql::{self, Statement, StatementKind, Transactionality};

use super::Context;
use crate::failure::{Exit, Failure};
use crate::render::line::{Line, Tone};

#[derive(Serialize)]
struct Answer {
    /// Whether all statements run in one transaction. None where a migration with this file is refused.
    one_transaction: Option<bool>,
    /// Why a migration with this file is refused.
    refused: Option<String>,
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
    /// Statements with the same number run in one transaction. None where nothing runs: for a BEGIN with nothing before
    /// its COMMIT, and in a file that is refused.
    transaction: Option<u32>,
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
    let answer = answer(&bytes, &statements);
    if context.output.json {
        context.output.json(&answer)?;
    } else {
        context.output.lines(&lines(&answer))?;
    }
    Ok(Exit::Done)
}

fn answer(bytes: &[u8], statements: &[Statement<'_>]) -> Answer {
    // What a file without a statement would be refused for says nothing about its statements.
    let reading = Reading { must_do_something: false, ..Reading::default() };
    let (summary, refused) = match Script::parse_as(bytes, reading) {
        Ok(script) => (Some(script.summary()), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let transactions = match &summary {
        Some(summary) => transactions(statements, summary),
        None => vec![None; statements.len()],
    };
    // Blocks of the file's own commit a new value before its use, or the file is refused.
    let has_blocks = summary.iter().flat_map(|summary| &summary.statements).any(|s| s.block.is_some());
    let enum_value = sql::uses_new_enum_value(statements).filter(|_| !has_blocks);
    let reason = |index: usize, statement: &Statement<'_>| match statement.transactionality() {
        Transactionality::OwnTransaction { reason } => Some(reason),
        Transactionality::InTransaction => {
            enum_value.as_ref().filter(|used| used.used == index).map(|used| used.reason(statements))
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
            transaction: transactions[index],
        }
    };
    Answer {
        one_transaction: summary.as_ref().map(|summary| summary.one_transaction),
        refused,
        statements: statements.iter().enumerate().map(shown).collect(),
    }
}

/// The number of each statement's transaction. BEGIN and COMMIT belong to what they stand around.
fn transactions(statements: &[Statement<'_>], summary: &ScriptSummary) -> Vec<Option<u32>> {
    let is = |at: Option<&Statement<'_>>, kind| at.is_some_and(|statement| statement.kind() == kind);
    let mut sent = summary.statements.iter();
    let (mut number, mut block) = (0, None);
    let mut numbers: Vec<Option<u32>> = Vec::with_capacity(statements.len());
    for (index, statement) in statements.iter().enumerate() {
        numbers.push(match statement.kind() {
            StatementKind::Begin => None,
            StatementKind::Commit => numbers.last().copied().flatten(),
            _ => {
                let its = sent.next().and_then(|statement| statement.block);
                let shared = (summary.one_transaction && number > 0) || (its.is_some() && its == block);
                if !shared {
                    number += 1;
                }
                block = its;
                Some(number)
            }
        });
        // A BEGIN is followed by a statement of its block, or by its COMMIT.
        if index > 0 && is(statements.get(index - 1), StatementKind::Begin) {
            numbers[index - 1] = numbers[index];
        }
    }
    numbers
}

fn lines(answer: &Answer) -> Vec<Line> {
    let statements = &answer.statements;
    let bytes = |s: &Shown| format!("{}..{}", s.start, s.end);
    let widest = |of: fn(&Shown) -> usize| statements.iter().map(of).max().unwrap_or_default();
    let (line, kind) = (widest(|s| s.line.to_string().len()), widest(|s| s.kind.chars().count()));
    let range = statements.iter().map(|s| bytes(s).len()).max().unwrap_or_default();
    let shown = |(at, s): (usize, &Shown)| {
        let text = Line::new()
            .plain(format!("line {:<line$}  ", s.line))
            .dim(format!("{:<range$}  ", bytes(s)))
            .strong(format!("{:<kind$}  ", s.kind));
        let beside = [at.checked_sub(1), Some(at + 1)].into_iter().flatten();
        let shares =
            beside.filter_map(|at| statements.get(at)).any(|other| other.transaction == s.transaction);
        match (&s.reason, s.transaction) {
            (Some(reason), _) => text.with(Tone::Warn, "on its own").plain(format!(": {reason}")),
            (None, Some(number)) if shares => text.plain(format!("in transaction {number}")),
            (None, Some(_)) => text.plain("in a transaction by itself"),
            (None, None) => text.plain("in a transaction"),
        }
    };
    let mut lines: Vec<_> = statements.iter().enumerate().map(shown).collect();
    if let Some(refused) = &answer.refused {
        lines.push(Line::of(Tone::Bad, "a migration with this file is refused: ").plain(refused));
    }
    lines
}
