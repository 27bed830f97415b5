//! goose: sections `-- +goose Up` and `-- +goose Down`, and one mark for the transaction of both, anywhere in the file.
//!
//! Statements are cut as everywhere here, so that `StatementBegin` and `StatementEnd` are only checked.

use std::collections::BTreeMap;

use super::draft::{Draft, Part};
use super::error::LayoutError;
use super::files::{Files, Line, lines};
use super::version::Version;
use crate::migration::{Layout, TransactionMode};

pub(super) fn read<'a>(files: &Files<'a>) -> Result<Vec<Draft<'a>>, LayoutError> {
    let mut drafts: BTreeMap<Version, Draft<'a>> = BTreeMap::new();
    for (path, _) in files.iter() {
        let stem = path.strip_suffix(".sql").filter(|stem| !stem.contains('/'));
        let version = stem.and_then(|stem| Version::parse(stem.split_once('_')?.0, &[]));
        let (Some(stem), Some(version)) = (stem, version) else {
            files.pass_over(path, Layout::Goose)?;
            continue;
        };
        let (up, down) = Sections::read(files, path)?.into_parts();
        if let Some(first) = drafts.insert(version, Draft { name: stem.to_owned(), up, down }) {
            return Err(files.duplicate(first.up.file, path));
        }
    }
    Ok(drafts.into_values().collect())
}

/// Whether the line is an annotation, or was meant as one.
pub(super) fn is_marker(line: &str) -> bool {
    line.trim_start().starts_with("--") && line.contains("+goose")
}

struct Sections<'a> {
    path: &'a str,
    text: &'a str,
    up: Line<'a>,
    down: Option<Line<'a>>,
    transaction: TransactionMode,
}

impl<'a> Sections<'a> {
    fn read(files: &Files<'a>, path: &'a str) -> Result<Self, LayoutError> {
        let text = files.text(path)?;
        let (mut up, mut down, mut open) = (None, None, None);
        let mut transaction = TransactionMode::Auto;
        for line in lines(text) {
            let fail = |why: &str| Err(files.marker(path, line.number, why));
            if !is_marker(line.text) {
                let ignored = line.text.trim_start();
                if up.is_none() && !ignored.is_empty() && !ignored.starts_with("--") {
                    return fail("statements before `-- +goose Up` belong to nothing; move them below it");
                }
                continue;
            }
            match annotation(line.text).as_deref() {
                Some("up") if up.is_none() => up = Some(line),
                Some("up") => return fail("a second `-- +goose Up`; remove it"),
                Some("down") if open.is_some() => {
                    return fail("`-- +goose StatementEnd` is missing before this line");
                }
                Some("down") if up.is_none() => {
                    return fail("`-- +goose Up` has to stand before `-- +goose Down`");
                }
                Some("down") if down.is_some() => return fail("a second `-- +goose Down`; remove it"),
                Some("down") => down = Some(line),
                Some("statementbegin") if up.is_none() || open.is_some() => {
                    return fail(
                        "`-- +goose StatementBegin` stands below Up or Down, and never in another block",
                    );
                }
                Some("statementbegin") => open = Some(line.number),
                Some("statementend") if open.take().is_none() => {
                    return fail("`-- +goose StatementEnd` without StatementBegin; remove it");
                }
                Some("statementend" | "envsub off") => {}
                Some("no transaction") => transaction = TransactionMode::Never,
                Some("envsub on") => {
                    return fail(
                        "goose would replace environment variables from here on, and nothing does so here; write the values",
                    );
                }
                _ => {
                    return fail(
                        "this is none of goose's annotations, which begin their line: -- +goose Up, Down, StatementBegin, \
                         StatementEnd, NO TRANSACTION",
                    );
                }
            }
        }
        if let Some(line) = open {
            let why = "this block is never closed; write `-- +goose StatementEnd` behind its statement";
            return Err(files.marker(path, line, why));
        }
        let Some(up) = up else {
            let why = "there is no line `-- +goose Up`; write it above the first statement";
            return Err(files.marker(path, 0, why));
        };
        Ok(Self { path, text, up, down, transaction })
    }

    fn into_parts(self) -> (Part<'a>, Option<Part<'a>>) {
        let part = |line: Line<'_>, end: usize| Part {
            file: self.path,
            first_line: line.number + 1,
            content: &self.text.as_bytes()[line.next..end],
            transaction: self.transaction,
        };
        let up_end = self.down.map_or(self.text.len(), |line| line.start);
        (part(self.up, up_end), self.down.map(|down| part(down, self.text.len())))
    }
}

/// In lower case, as goose takes it in any. None: it begins with white space, or is empty.
fn annotation(line: &str) -> Option<String> {
    let (before, annotation) = line.split_once("+goose")?;
    let is_comment = before.starts_with("--") && before.trim_matches('-').trim().is_empty();
    let annotation = annotation.trim().to_ascii_lowercase();
    (is_comment && !annotation.is_empty()).then_some(annotation)
}
