//! `COPY ... FROM STDIN` and the data that follows it in the file, as psql feeds it to the server.

use super::cursor::Cursor;
use super::lexer::{TokenKind, find};

/// What a COPY statement asks of its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyInput {
    None,
    Lines,
    Binary,
}

/// Whether the server will ask for data after this statement. `FROM STDOUT` asks for it as well.
pub(super) fn input_of(statement: &str) -> CopyInput {
    let mut cursor = Cursor::new(statement);
    if !cursor.word("copy") {
        return CopyInput::None;
    }
    let mut binary = cursor.word("binary");
    if cursor.name().is_none() {
        return CopyInput::None;
    }
    cursor.skip_parentheses();
    if !cursor.word("from") || !(cursor.word("stdin") || cursor.word("stdout")) {
        return CopyInput::None;
    }
    while let Some(token) = cursor.next() {
        let text = cursor.text(token);
        match token.kind {
            TokenKind::Word if text.eq_ignore_ascii_case("where") => break,
            TokenKind::Word if text.eq_ignore_ascii_case("binary") => binary = true,
            TokenKind::Word if text.eq_ignore_ascii_case("format") => {
                if let Some(format) = cursor.next() {
                    binary |= cursor.text(format).trim_matches(['\'', '"']).eq_ignore_ascii_case("binary");
                }
            }
            _ => {}
        }
    }
    if binary { CopyInput::Binary } else { CopyInput::Lines }
}

/// The end of the data that begins at `from`, and where the file goes on: behind a line that is `\.` alone, or
/// at the end of the file. A line feed or carriage return and line feed end a line.
pub(super) fn data_end(file: &str, from: usize) -> (usize, usize) {
    let bytes = file.as_bytes();
    let mut line = from;
    while line < bytes.len() {
        let end = find(bytes, line, |b| b == b'\n');
        if matches!(&bytes[line..end.unwrap_or(bytes.len())], b"\\." | b"\\.\r") {
            return (line, end.map_or(bytes.len(), |n| n + 1));
        }
        let Some(end) = end else { break };
        line = end + 1;
    }
    (bytes.len(), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_from_stdin_takes_input() {
        let lines = [
            "COPY t FROM stdin",
            "copy public.\"From\" (a, \"b\") from /* x */ STDIN with (format csv, header)",
            "COPY t FROM STDOUT",
            "COPY t FROM STDIN WITH (FORMAT text) WHERE format = 'binary'",
        ];
        let none = [
            "COPY t TO stdout",
            "COPY t FROM 'stdin'",
            "COPY t FROM PROGRAM 'cat stdin'",
            "COPY (SELECT a FROM stdin) TO STDOUT",
            "SELECT 1 -- COPY t FROM stdin",
        ];
        for sql in lines {
            assert_eq!(input_of(sql), CopyInput::Lines, "{sql}");
        }
        for sql in none {
            assert_eq!(input_of(sql), CopyInput::None, "{sql}");
        }
        for sql in
            ["COPY BINARY t FROM STDIN", "COPY t FROM STDIN (FORMAT 'binary')", "COPY t FROM STDIN BINARY"]
        {
            assert_eq!(input_of(sql), CopyInput::Binary, "{sql}");
        }
    }

    #[test]
    fn data_ends_at_a_line_that_is_backslash_dot_alone() {
        assert_eq!(data_end("a\n\\.x\n\\.\r\nrest", 0), (6, 10));
        assert_eq!(data_end("a\n\\.", 0), (2, 4));
        assert_eq!(data_end("a\nb", 0), (3, 3));
    }
}
