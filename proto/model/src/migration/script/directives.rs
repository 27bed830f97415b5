//! `-- stopover:` comments. They change what the statement below them does, so one that isn't understood, or that stands
//! where it means nothing, must never be passed over.

use super::outline::Outline;
use super::{Reading, ScriptError, line_of};
use crate::backfill::{self, Directive};
use crate::sql::{self, Statement};

/// Why a statement with a directive stands alone.
pub(super) const REASON: &str = "it is run in batches, each in a transaction of its own";

/// What the comment above a statement asks for.
pub(super) fn of(statement: &Statement<'_>) -> Option<Directive> {
    within(statement.leading_comments).find_map(|(_, directive)| Directive::parse(directive).ok())
}

/// The comment that says that what a statement drops is not saved before.
const SAVE_OFF: &str = "save=off";

pub(super) fn saves_nothing(statement: &Statement<'_>) -> bool {
    within(statement.leading_comments).any(|(_, directive)| directive == SAVE_OFF)
}

pub(super) fn check(text: &str, outline: &Outline<'_>, reading: Reading) -> Result<(), ScriptError> {
    let mut understood = 0;
    for (index, statement) in outline.statements.iter().enumerate() {
        let found: Vec<_> = within(statement.leading_comments).collect();
        if found.is_empty() {
            continue;
        }
        check_statement(statement, &found)?;
        understood += 1;
        if saves_nothing(statement) {
            continue;
        }
        if let Some(block) = outline.block_of(index) {
            let message = format!(
                "a backfill commits each of its batches, so it can't run between BEGIN (line {}) and COMMIT; put it behind \
                 the COMMIT",
                block.line
            );
            return Err(ScriptError { line: statement.line, message });
        }
    }
    if within(text).count() == understood {
        return Ok(());
    }
    let above = |at: usize| {
        outline.statements.iter().any(|s| (s.start - s.leading_comments.len()..s.start).contains(&at))
    };
    let stray = within(text).map(|(start, _)| start).find(|start| !above(*start)).unwrap_or_default();
    let message = "a directive stands above its statement, and this one doesn't; move it there, or remove it";
    Err(ScriptError { line: reading.line(line_of(text.as_bytes(), stray)), message: message.to_owned() })
}

fn check_statement(statement: &Statement<'_>, found: &[(usize, &str)]) -> Result<(), ScriptError> {
    let fail = |line: u32, message: String| Err(ScriptError { line, message });
    let [(_, directive)] = found else {
        return fail(statement.line, "two directives stand above this statement; keep one".to_owned());
    };
    if directive.starts_with("save") {
        return match (*directive, statement.drops().is_empty()) {
            (SAVE_OFF, false) => Ok(()),
            (SAVE_OFF, true) => fail(
                statement.line,
                "the statement drops nothing that could be saved; remove `stopover: save=off` above it"
                    .to_owned(),
            ),
            (other, _) => {
                let shown: String = other.chars().take(40).flat_map(char::escape_debug).collect();
                fail(
                    statement.line,
                    format!(
                        "`stopover: {shown}` is not known; what is dropped is saved unless the comment is `stopover: save=off`"
                    ),
                )
            }
        };
    }
    if let Err(error) = Directive::parse(directive) {
        return fail(statement.line, error.to_string());
    }
    if let Err(refusal) = backfill::analyse(statement.text) {
        let before = &statement.text.as_bytes()[..refusal.at];
        let line = statement.line + line_of(before, before.len()) - 1;
        return fail(
            line,
            format!("the backfill can't run in batches: {}; {}", refusal.reason, refusal.hint),
        );
    }
    Ok(())
}

/// The directives in a text: where each begins, and what it says.
fn within(text: &str) -> impl Iterator<Item = (usize, &str)> {
    sql::comments(text)
        .filter_map(|comment| Some((comment.start, comment.content().strip_prefix("stopover:")?.trim())))
}
