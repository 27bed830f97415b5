//! Whether a statement can be run in batches without changing what it does in all.

use super::clauses::{delete, update};
use super::insert::insert;
use super::parts::unreadable;
use super::statement::{Action, Batchable, Refusal};
use super::tokens::Tokens;

/// Takes a statement's text apart, or says why that can't be done.
pub fn analyse(text: &str) -> Result<Batchable<'_>, Refusal> {
    let tokens = Tokens::of(text);
    let verb = if tokens.is(0, "with") { behind_with(&tokens)? } else { 0 };
    let batchable = if tokens.is(verb, "update") {
        update(&tokens, verb)?
    } else if tokens.is(verb, "delete") {
        delete(&tokens, verb)?
    } else if tokens.is(verb, "insert") {
        insert(&tokens, verb)?
    } else {
        return Err(Refusal::new(
            tokens.start(verb),
            "only an UPDATE, a DELETE and an INSERT ... SELECT can be run in batches",
            "put the directive above such a statement, or remove it",
        ));
    };
    refuse_own_reads(&tokens, &batchable)?;
    Ok(batchable)
}

/// The place of the main verb behind WITH. Its queries run again with each batch, so they must only read.
fn behind_with(tokens: &Tokens<'_>) -> Result<usize, Refusal> {
    let verbs = ["update", "delete", "insert", "merge", "select", "values"];
    let verb = tokens.find_at_top(1, |i| tokens.is_any(i, &verbs)).ok_or_else(|| unreadable(tokens, 0))?;
    let writes = (1..verb).find(|i| {
        let first = tokens.symbol(i.saturating_sub(1), b'(');
        first && tokens.is_any(*i, &["update", "delete", "insert", "merge"])
    });
    match writes {
        None => Ok(verb),
        Some(at) => Err(Refusal::new(
            tokens.start(at),
            "a WITH that writes would write again in every batch",
            "make it a statement of its own before this one",
        )),
    }
}

/// What an earlier batch has changed, a later one would read.
fn refuse_own_reads(tokens: &Tokens<'_>, batchable: &Batchable<'_>) -> Result<(), Refusal> {
    let target = &batchable.target.name;
    // The table that is changed stands behind UPDATE, DELETE FROM or INSERT INTO itself, at the top.
    let own = |at: usize| tokens.depth(at) == 0 && batchable.action != Action::Insert && is_own(tokens, at);
    let mut from = 0;
    while let Some(at) = tokens.reads_table(from..tokens.len(), target) {
        if !own(at) {
            return Err(Refusal::new(
                tokens.start(at),
                format!(
                    "it reads {target} besides changing it: a later batch would see what the earlier ones did"
                ),
                "compute what it needs into a table of its own first, and read that",
            ));
        }
        from = at + 1;
    }
    Ok(())
}

fn is_own(tokens: &Tokens<'_>, at: usize) -> bool {
    let mut first = at;
    if first >= 2 && tokens.symbol(first - 1, b'.') {
        first -= 2;
    }
    if first >= 1 && tokens.is(first - 1, "only") {
        first -= 1;
    }
    first >= 1
        && (tokens.is(first - 1, "update")
            || (first >= 2 && tokens.is(first - 1, "from") && tokens.is(first - 2, "delete")))
}
