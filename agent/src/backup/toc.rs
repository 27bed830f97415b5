//! An archive's table of contents, as `pg_restore --list` writes it: which of its entries are restored into a scratch.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Stdio;

use stopover_model::report::{ErrorClass, StepError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use super::child::Program;
use super::decode;
use super::programs::Programs;

const CHUNK: usize = 128 * 1024;

/// Reads an archive until its table of contents is known, which stands at its beginning. Gives back what was read, and the
/// table.
pub(super) async fn head(
    programs: &Programs,
    archive: &mut (impl AsyncRead + Unpin),
) -> Result<(Vec<u8>, String), StepError> {
    let arguments = ["--list", "--format=custom"].map(OsStr::new);
    let pipes = (Stdio::piped(), Stdio::piped());
    let mut lister = Program::start("pg_restore", &programs.pg_restore, &arguments, &[], pipes)?;
    let (Some(mut input), Some(mut output)) = (lister.child.stdin.take(), lister.child.stdout.take()) else {
        return Err(StepError::new(ErrorClass::Internal, "pg_restore has no input"));
    };
    let feeding = async move {
        let (mut head, mut buffer) = (Vec::new(), vec![0; CHUNK]);
        loop {
            let count = archive.read(&mut buffer).await?;
            head.extend_from_slice(&buffer[..count]);
            // It stops reading when it has what it needs.
            if count == 0 || input.write_all(&buffer[..count]).await.is_err() {
                return Ok::<_, io::Error>(head);
            }
        }
    };
    let mut table = String::new();
    let (head, read) = tokio::join!(feeding, output.read_to_string(&mut table));
    let ended = lister.wait().await?;
    let head = head.map_err(|error| decode::unproven(&error.to_string()))?;
    if !ended.status.success() || read.is_err() {
        let why = format!("pg_restore could not list it ({}): {}", ended.status, ended.words);
        return Err(decode::unproven(&why));
    }
    Ok((head, table))
}

/// The table of contents of an archive that is a directory.
pub(super) async fn of_directory(programs: &Programs, directory: &Path) -> Result<String, StepError> {
    let arguments = [OsStr::new("--list"), OsStr::new("--format=directory"), directory.as_os_str()];
    let pipes = (Stdio::null(), Stdio::piped());
    let mut lister = Program::start("pg_restore", &programs.pg_restore, &arguments, &[], pipes)?;
    let mut table = String::new();
    let read = match lister.child.stdout.take() {
        Some(mut output) => output.read_to_string(&mut table).await.is_ok(),
        None => false,
    };
    let ended = lister.wait().await?;
    if ended.status.success() && read {
        return Ok(table);
    }
    Err(decode::unproven(&format!("pg_restore could not list it ({}): {}", ended.status, ended.words)))
}

/// What is left out, beside what is never restored.
pub(super) struct Leave<'a> {
    /// Schemas that are there already.
    pub(super) schemas: &'a [String],
    /// With the rows of some tables alone, a key may refer to rows that are not there, and a view may not be filled.
    pub(super) foreign_keys: bool,
}

/// The lines that stay.
pub(super) fn chosen(list: &str, leave: &Leave<'_>) -> String {
    let stays = |line: &&str| entry(line).is_some_and(|entry| !left_out(entry, leave));
    list.lines().filter(stays).flat_map(|line| [line, "\n"]).collect()
}

/// `3; 3079 16384 EXTENSION - plpgsql` without its numbers. What begins with a semicolon is a remark.
fn entry(line: &str) -> Option<&str> {
    let (number, rest) = line.split_once("; ")?;
    let mut parts = rest.splitn(3, ' ');
    let numbers = [number, parts.next()?, parts.next()?];
    let all = numbers.iter().all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    parts.next().filter(|_| all)
}

fn left_out(entry: &str, leave: &Leave<'_>) -> bool {
    // Extensions are made beforehand, and are somebody else's; an event trigger would fire on our own statements.
    if ["COMMENT - EXTENSION ", "EVENT TRIGGER ", "COMMENT - EVENT TRIGGER "]
        .iter()
        .any(|kind| entry.starts_with(kind))
    {
        return true;
    }
    if leave.foreign_keys
        && ["FK CONSTRAINT ", "MATERIALIZED VIEW DATA "].iter().any(|kind| entry.starts_with(kind))
    {
        return true;
    }
    // The owner's name comes last.
    entry.strip_prefix("SCHEMA - ").is_some_and(|rest| {
        leave
            .schemas
            .iter()
            .any(|schema| rest.strip_prefix(schema.as_str()).is_some_and(|owner| owner.starts_with(' ')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = ";
; Archive created at 2026-11-23 05:00:00 UTC
;     dbname: app
;
3; 3079 16384 EXTENSION - pg_trgm
3400; 0 0 COMMENT - EXTENSION pg_trgm
6; 2615 16385 SCHEMA - ext postgres
7; 2615 16386 SCHEMA - extra postgres
215; 1259 16390 TABLE public users postgres
3401; 0 16390 TABLE DATA public users postgres
3260; 2606 16400 FK CONSTRAINT public orders orders_user_fkey postgres
3402; 0 16391 MATERIALIZED VIEW DATA public totals postgres
3261; 3466 16401 EVENT TRIGGER - guard postgres
";

    fn left(leave: &Leave<'_>) -> Vec<String> {
        chosen(LIST, leave).lines().map(|line| line.split_once("; ").unwrap().0.to_owned()).collect()
    }

    #[test]
    fn what_is_there_already_and_what_would_fire_is_left_out() {
        let whole = left(&Leave { schemas: &["ext".to_owned()], foreign_keys: false });
        assert_eq!(whole, ["3", "7", "215", "3401", "3260", "3402"]);
        let partial = left(&Leave { schemas: &[], foreign_keys: true });
        assert_eq!(partial, ["3", "6", "7", "215", "3401"]);
    }
}
