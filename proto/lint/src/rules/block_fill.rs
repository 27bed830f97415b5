//! A DO block that gives a column which is new one value, batch by batch: the loop of many a guide, without need.

use squawk_syntax::SourceFile;
use squawk_syntax::ast;
use stopover_model::sql::{self, StatementKind};

use super::default_instead::{OneColumn, default_instead};
use crate::catalogue::BACKFILL_WITHOUT_NEED;
use crate::nesting;
use crate::raw::Raw;
use crate::reading::Reading;
use crate::tree::text;

pub(super) fn check(reading: &Reading<'_>, index: usize) -> Option<Raw> {
    let statement = &reading.statements[index];
    if !matches!(&statement.kind, StatementKind::Do { language } if language == "plpgsql") {
        return None;
    }
    let body = body(statement.at.text)?;
    let pieces = sql::split(body).ok()?;
    let mut updates = pieces.iter().filter_map(|piece| update_in(piece.text));
    let (Some((update_text, update)), None) = (updates.next(), updates.next()) else { return None };
    let kind = sql::split(update_text).ok()?.first()?.kind();
    let StatementKind::Update { table, .. } = kind else { return None };
    let set = OneColumn::of(&update)?;
    let around = body.replacen(update_text, "", 1);
    if !goes_by_its_own_bounds(&update, &around, &[&table.name, set.column()]) {
        return None;
    }
    let sql = default_instead(reading, index, &table, &set)?;
    let message = format!(
        "This block gives the rows of {table} one value in a column that is new, in one UPDATE after the other: its default \
         does so at once, at any size."
    );
    let raw = Raw::ours(&BACKFILL_WITHOUT_NEED, statement.range(), message)
        .help("Add the column with that value as its default, then set the default for the rows to come. Right if the block is to reach every row: how far its loop goes is not looked at.");
    Some(raw.rewrite("Instead of the new column and of this block", sql))
}

/// What stands between the dollars.
fn body(text: &str) -> Option<&str> {
    let start = text.find('$')?;
    let tag = &text[start..start + 2 + text[start + 1..].find('$')?];
    let inner = &text[start + tag.len()..];
    Some(&inner[..inner.rfind(tag)?])
}

/// The UPDATE that a piece of a block ends with: `WHILE a < b LOOP UPDATE t SET ...`.
fn update_in(piece: &str) -> Option<(&str, ast::Update)> {
    const WORD: &str = "update";
    /// Each of its words may be tried.
    const LONGEST: usize = 10_000;
    if piece.len() > LONGEST {
        return None;
    }
    let lower = piece.to_ascii_lowercase();
    lower.match_indices(WORD).find_map(|(at, _)| {
        let text = &piece[at..];
        if nesting::refusal(text).is_some() {
            return None;
        }
        let parse = SourceFile::parse(text);
        match parse.tree().stmts().next() {
            Some(ast::Stmt::Update(update)) if parse.errors().is_empty() => Some((text, update)),
            _ => None,
        }
    })
}

/// Whether WHERE only says which rows are next: with names that the rest of the block has too, and with no value of its own.
fn goes_by_its_own_bounds(update: &ast::Update, around: &str, known: &[&str]) -> bool {
    let Some(condition) = update.where_clause_or_current_of() else { return true };
    let ast::WhereClauseOrCurrentOf::WhereClause(clause) = condition else { return false };
    let Some(condition) = clause.expr().map(|expr| text(&expr)) else { return false };
    let around: Vec<String> = words(around).collect();
    !condition.contains('\'')
        && words(&condition).all(|word| {
            SYNTAX.contains(&word.as_str()) || known.contains(&word.as_str()) || around.contains(&word)
        })
}

const SYNTAX: [&str; 22] = [
    "and", "any", "array", "asc", "between", "by", "ctid", "desc", "for", "from", "in", "is", "limit",
    "locked", "not", "null", "order", "select", "skip", "update", "where", "no",
];

fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| word.chars().next().is_some_and(|c| !c.is_ascii_digit())).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, lint, rules_among};

    const ADD: &str = "ALTER TABLE users ADD done boolean, ALTER done SET DEFAULT false;\n";

    fn block(update: &str) -> String {
        format!(
            "{ADD}DO $$ DECLARE next bigint; last bigint; n int; BEGIN\n\
             SELECT min(id), max(id) INTO next, last FROM users;\nWHILE next <= last LOOP\n  {update};\n  COMMIT;\n\
             next := next + 1000; END LOOP; END $$;"
        )
    }

    fn found(sql: &str) -> Vec<String> {
        rules_among(Sql::up(sql), &["stopover/backfill-without-need"])
    }

    #[test]
    fn a_loop_of_one_value_into_a_new_column_needs_no_loop() {
        let sql = block("UPDATE users SET done = true WHERE id BETWEEN next AND next + 999 AND done IS NULL");
        let report = lint(Sql { rerun_is_safe: true, ..Sql::up(&sql) });
        let [found] = &report.findings[..] else { panic!("{report:?}") };
        assert_eq!((found.rule.name(), found.start.line), ("stopover/backfill-without-need", 2));
        assert_eq!(
            found.rewrite.as_ref().unwrap().sql,
            "ALTER TABLE users ADD COLUMN done boolean DEFAULT true;\n\
             ALTER TABLE users ALTER COLUMN done SET DEFAULT false;"
        );
        let by_limit =
            "UPDATE users SET done = true WHERE id IN (SELECT id FROM users WHERE done IS NULL LIMIT 1000)";
        assert_eq!(self::found(&block(by_limit)).len(), 1);
    }

    #[test]
    fn what_chooses_rows_or_values_needs_it() {
        for update in [
            "UPDATE users SET done = true WHERE id BETWEEN next AND next + 999 AND created_at < '2024-01-01'",
            "UPDATE users SET done = true WHERE id BETWEEN next AND next + 999 AND active",
            "UPDATE users SET done = active WHERE id BETWEEN next AND next + 999",
            "UPDATE users SET done = true WHERE id = next; UPDATE users SET done = false WHERE id = last",
            "UPDATE users SET old = true WHERE id BETWEEN next AND next + 999",
            "PERFORM 1 FROM users FOR UPDATE",
        ] {
            assert_eq!(found(&block(update)), [""; 0], "{update}");
        }
        let elsewhere = block("UPDATE users SET done = true").replace(ADD, "");
        assert_eq!(found(&elsewhere), [""; 0]);
    }
}
