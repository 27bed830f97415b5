//! Where in the SQL file an error is.

use stopover_model::report::{Effect, SqlPlace, StepError};
use stopover_model::sql::position_in;

use super::job::{Job, ScriptStep};
use crate::postgres::{DatabaseError, QueryError};

/// The error of a statement, with its place under the line of SQL.
pub(super) fn statement_error(
    job: &Job<'_>,
    step: &ScriptStep<'_>,
    error: QueryError,
    effect: Effect,
) -> StepError {
    let place = match &error {
        QueryError::Database(error) => place(job, step, error),
        QueryError::Lost(_) | QueryError::Answer(_) => at(job, step, 1),
    };
    let doing = format!("{} of {} failed", step.name(), job.file);
    let mut error = error.into_step_error(&doing).with_effect(effect);
    error.place = Some(place);
    error
}

/// PostgreSQL's own position, else the line inside a DO block, else the statement's beginning.
fn place(job: &Job<'_>, step: &ScriptStep<'_>, error: &DatabaseError) -> SqlPlace {
    if let Some(position) = error.position {
        return at(job, step, position);
    }
    let inside = error.block_line.and_then(|line| line_of_block(step.statement.text, line));
    at(job, step, inside.unwrap_or(1))
}

fn at(job: &Job<'_>, step: &ScriptStep<'_>, position: u32) -> SqlPlace {
    let point = position_in(job.script.text(), &step.statement, position);
    let line = job.script.line_in_file(point.line);
    SqlPlace { file: job.file.clone(), line, column: point.column, text: point.line_text }
}

/// The position, in characters from 1, of the first word in a line of a DO block's body; its lines count from the opening
/// quote on.
fn line_of_block(statement: &str, line: u32) -> Option<u32> {
    let quote = statement.find('$')?;
    let body = quote + 1 + statement[quote + 1..].find('$')? + 1;
    let mut start = body;
    for _ in 1..line {
        start += statement[start..].find('\n')? + 1;
    }
    let indent = statement[start..].find(|c: char| !c.is_whitespace()).unwrap_or(0);
    u32::try_from(statement[..start + indent].chars().count() + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_block_is_counted_from_its_quote() {
        let sql = "DO $é$\nBEGIN\n  RAISE 'x';\nEND $é$";
        let position = line_of_block(sql, 3).unwrap() as usize;
        assert!(sql.chars().skip(position - 1).collect::<String>().starts_with("RAISE"));
        assert_eq!(line_of_block("DO 'x'", 2), None);
        assert_eq!(line_of_block(sql, 9), None);
    }
}
