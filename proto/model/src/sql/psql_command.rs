//! Backslash commands: psql's own, and never part of SQL.

/// A backslash command found outside quotes and comments.
pub(super) struct PsqlCommand<'a> {
    /// The backslash and the word behind it.
    pub(super) name: &'a str,
    /// The end of its line, where its arguments end.
    pub(super) line_end: usize,
}

/// Reads the command whose backslash stands at `at`.
pub(super) fn read(file: &str, at: usize) -> PsqlCommand<'_> {
    let line_end = file[at..].find('\n').map_or(file.len(), |n| at + n);
    let line = &file[at..line_end];
    let word = line[1..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(line.len(), |n| n + 1);
    let name = if word > 1 {
        &line[..word]
    } else {
        let symbol = line[1..].chars().next().filter(|c| !c.is_whitespace() && !c.is_control());
        &line[..=symbol.map_or(0, char::len_utf8)]
    };
    PsqlCommand { name, line_end }
}

impl PsqlCommand<'_> {
    /// `pg_dump` writes these two around its output; they change nothing in the database.
    pub(super) fn may_be_skipped(&self) -> bool {
        matches!(self.name, "\\restrict" | "\\unrestrict")
    }

    pub(super) fn hint(&self) -> &'static str {
        match self.name {
            "\\restrict" | "\\unrestrict" => "move it out of the statement that it stands in, or remove it",
            "\\i" | "\\ir" | "\\include" | "\\include_relative" => "put the SQL of that file here",
            "\\copy" => "write COPY ... FROM STDIN with its data below it, ended by a line \\.",
            "\\." => "it ends the data of COPY ... FROM STDIN, and no such statement precedes it; remove it",
            "\\;" | "\\g" | "\\gx" | "\\gdesc" => "end the statement with a plain ;",
            "\\gexec" => "write the statements out, or EXECUTE them in a DO block",
            "\\set" | "\\unset" | "\\gset" | "\\prompt" | "\\getenv" => "write the value itself into the SQL",
            "\\if" | "\\elif" | "\\else" | "\\endif" => {
                "decide in a DO block, or write one migration for each case"
            }
            "\\c" | "\\connect" => {
                "a migration runs in the database that its environment names; remove the line"
            }
            "\\echo" | "\\qecho" | "\\warn" => "remove the line, or RAISE NOTICE in a DO block",
            "\\" => "is a quote or an E before a string missing here? Else remove the backslash",
            _ => "write it as plain SQL, or remove it",
        }
    }
}
