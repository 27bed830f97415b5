//! The splitter against the real psql: a server that only records stands where PostgreSQL would, and what psql
//! sends for a file is compared with `split`.
//!
//! psql 15 sends a statement from its first character that is neither white space nor a `--` comment, so with the
//! block comments before it, and up to its `;`; it drops lines that are empty. White space is therefore left out
//! of the comparison, and block comments before the first token are let through. Statements that hold no token, which
//! psql sends and `split` drops, are left out as well.

#![expect(clippy::unwrap_used, reason = "a helper of these tests that fails is a failed test")]

mod recording_server;
mod sql_corpus;

use std::path::PathBuf;
use std::process::Command;

use recording_server::{RecordingServer, Sent};
use stopover_model::sql::{Statement, split};

/// How many files one psql is given.
const FILES_AT_ONCE: usize = 40;

#[test]
fn every_file_of_the_corpus_is_split_as_psql_does() {
    let files: Vec<String> = sql_corpus::FILES.iter().map(|file| (*file).to_owned()).collect();
    for file in &files {
        assert!(split(file).is_ok(), "{file:?}: {:?}", split(file));
    }
    compare("corpus", &files);
}

#[test]
fn generated_files_are_split_as_psql_does() {
    let seed = std::env::var("STOPOVER_SQL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let count = std::env::var("STOPOVER_SQL_FILES").ok().and_then(|count| count.parse().ok()).unwrap_or(600);
    let mut generator = sql_corpus::Generator::new(seed);
    let mut files = Vec::new();
    while files.len() < count {
        let file = generator.file();
        if split(&file).is_ok() {
            files.push(file);
        }
    }
    let statements: usize = files.iter().map(|file| split(file).map_or(0, |found| found.len())).sum();
    assert!(statements > 2 * count, "only {statements} statements were generated");
    compare("generated", &files);
}

fn compare(name: &str, files: &[String]) {
    let directory = std::env::temp_dir().join(format!("stopover-psql-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for (batch, files) in files.chunks(FILES_AT_ONCE).enumerate() {
        let paths: Vec<PathBuf> =
            (0..files.len()).map(|index| directory.join(format!("{batch}-{index}.sql"))).collect();
        for (path, file) in paths.iter().zip(files) {
            std::fs::write(path, file).unwrap();
        }
        let recorded = run_psql(&paths);
        assert_eq!(recorded.len(), files.len(), "psql stopped early");
        for (file, sent) in files.iter().zip(recorded) {
            compare_file(file, &sent);
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

/// What psql sent for each file.
fn run_psql(paths: &[PathBuf]) -> Vec<Vec<Sent>> {
    let server = RecordingServer::start();
    let mut psql = Command::new("psql");
    // Nothing of the caller's PG* variables may reach it.
    psql.env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PGCLIENTENCODING", "UTF8");
    psql.args(["-X", "-q", "-d", &server.connection()]);
    for path in paths {
        psql.arg("-f").arg(path).args(["-c", MARKER]);
    }
    let output = psql.output().unwrap_or_else(|error| {
        panic!(
            "could not run psql ({error}); install PostgreSQL's client programs, on Debian postgresql-client"
        )
    });
    let mut recorded = vec![Vec::new()];
    for sent in server.finish() {
        if sent.query == MARKER {
            recorded.push(Vec::new());
        } else if let Some(file) = recorded.last_mut() {
            file.push(sent);
        }
    }
    recorded.pop();
    assert_eq!(recorded.len(), paths.len(), "{}", String::from_utf8_lossy(&output.stderr));
    recorded
}

const MARKER: &str = "SELECT 'the file ends here'";

fn compare_file(file: &str, sent: &[Sent]) {
    let ours = split(file).unwrap();
    let sent: Vec<&Sent> = sent.iter().filter(|sent| holds_a_token(&sent.query)).collect();
    let texts: Vec<&str> = sent.iter().map(|sent| sent.query.as_str()).collect();
    let our_texts: Vec<&str> = ours.iter().map(|statement| statement.text).collect();
    assert_eq!(texts.len(), our_texts.len(), "{file:?}\n psql: {texts:?}\n ours: {our_texts:?}");
    for (statement, sent) in ours.iter().zip(sent) {
        assert!(
            is_same(file, statement, &sent.query),
            "{file:?}\n psql: {:?}\n ours: {:?}",
            sent.query,
            statement.text
        );
        let data = sent.copy_data.as_ref().map(|data| without_end_marker(data));
        assert_eq!(data, statement.copy_data, "{file:?}");
    }
}

fn is_same(file: &str, statement: &Statement<'_>, query: &str) -> bool {
    let query = squeezed(query);
    let text = squeezed(statement.text);
    if statement.copy_data.is_some() {
        return query.contains(&text);
    }
    let exact = squeezed(&file[statement.start..statement.resume]);
    let Some(before) = query.strip_suffix(exact.as_str()) else { return false };
    let leading = statement.leading_comments;
    let is_leading =
        squeezed(leading).ends_with(before) || squeezed(&without_psql_commands(leading)).ends_with(before);
    exact.starts_with(&text) && is_leading
}

fn without_psql_commands(text: &str) -> String {
    let mut left = text.to_owned();
    while let Some(at) = left.find("\\restrict").or_else(|| left.find("\\unrestrict")) {
        let end = left[at..].find('\n').map_or(left.len(), |n| at + n);
        left.replace_range(at..end, "");
    }
    left
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')).collect()
}

/// psql 15 sends the line `\.` too, later ones don't.
fn without_end_marker(data: &str) -> &str {
    let line = data.trim_end_matches(['\r', '\n']);
    match line.strip_suffix("\\.") {
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => rest,
        _ => data,
    }
}

/// Whether anything but white space, comments and `;` stands in a query.
fn holds_a_token(query: &str) -> bool {
    !after_leading_comments(query).is_empty()
}

/// The query from its first token on, empty statements stepped over; written apart from the splitter.
fn after_leading_comments(query: &str) -> &str {
    let mut rest = query;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}', ';']);
        if rest.starts_with("--") {
            rest = rest.find(['\n', '\r']).map_or("", |end| &rest[end..]);
        } else if rest.starts_with("/*") {
            rest = after_block_comment(rest);
        } else {
            return rest;
        }
    }
}

fn after_block_comment(text: &str) -> &str {
    let mut depth = 0;
    let mut rest = text;
    loop {
        if let Some(inner) = rest.strip_prefix("/*") {
            depth += 1;
            rest = inner;
        } else if let Some(after) = rest.strip_prefix("*/") {
            depth -= 1;
            rest = after;
            if depth == 0 {
                return rest;
            }
        } else {
            let Some(c) = rest.chars().next() else { return rest };
            rest = &rest[c.len_utf8()..];
        }
    }
}
