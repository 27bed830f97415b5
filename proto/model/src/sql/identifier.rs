//! Identifiers that PostgreSQL would cut.

use super::cursor::{Cursor, decode_identifier};
use super::split::{Statement, line_of};

/// What fits into PostgreSQL's `name` type.
const LONGEST: usize = 63;

/// The identifiers of a statement that are longer than 63 bytes, each with its line in the file. PostgreSQL cuts them
/// with no more than a notice, and two of them may then be the same.
#[must_use]
pub fn overlong_identifiers(statement: &Statement<'_>) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut at = Cursor::new(statement.text);
    while let Some(token) = at.next() {
        // No decoding makes a name longer than its source.
        if token.end - token.start <= LONGEST {
            continue;
        }
        if let Some(name) = decode_identifier(token, at.text(token)).filter(|name| name.len() > LONGEST) {
            let line = statement.line + line_of(statement.text, token.start) - 1;
            found.push((name, line));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split;

    #[test]
    fn counts_bytes_of_the_decoded_name() {
        let fits = "f".repeat(63);
        let long = "L".repeat(64);
        let wide = "é".repeat(32);
        let quotes = format!("\"{}\"", "\"\"".repeat(63));
        let sql = format!(
            "\n\nCREATE TABLE {fits} (\n{long} int,\n \"{wide}\" int, {quotes} int, x text DEFAULT '{long}{long}')"
        );
        let statements = split(&sql).unwrap();
        assert_eq!(overlong_identifiers(&statements[0]), [(long.to_lowercase(), 4), (wide, 5)]);
    }
}
