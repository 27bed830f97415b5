//! dbmate: sections `-- migrate:up` and `-- migrate:down`, files in the order of their names.

use std::collections::BTreeMap;

use super::draft::{Draft, Part};
use super::error::LayoutError;
use super::files::{Files, Line, lines};
use crate::migration::{Layout, TransactionMode};

/// A marker line, and what stands behind it.
struct Marker<'a> {
    is_down: bool,
    options: &'a str,
}

pub(super) fn read<'a>(files: &Files<'a>) -> Result<Vec<Draft<'a>>, LayoutError> {
    let mut versions: BTreeMap<&str, &str> = BTreeMap::new();
    let mut drafts = Vec::new();
    for (path, _) in files.iter() {
        let stem = path.strip_suffix(".sql").filter(|stem| !stem.contains('/'));
        let Some((stem, version)) = stem.and_then(|stem| Some((stem, version_of(stem)?))) else {
            files.pass_over(path, Layout::Dbmate)?;
            continue;
        };
        if let Some(first) = versions.insert(version, path) {
            return Err(files.duplicate(first, path));
        }
        let (up, down) = sections(files, path)?;
        drafts.push(Draft { name: stem.to_owned(), up, down });
    }
    Ok(drafts)
}

pub(super) fn is_marker(line: &str) -> bool {
    Marker::parse(line).is_some()
}

fn version_of(stem: &str) -> Option<&str> {
    let end = stem.find(|c: char| !c.is_ascii_digit()).unwrap_or(stem.len());
    (end > 0).then_some(&stem[..end])
}

fn sections<'a>(files: &Files<'a>, path: &'a str) -> Result<(Part<'a>, Option<Part<'a>>), LayoutError> {
    let text = files.text(path)?;
    let (mut up, mut down) = (None, None);
    for line in lines(text) {
        let Some(marker) = Marker::parse(line.text) else {
            let ignored = line.text.trim_start();
            if up.is_none() && !ignored.is_empty() && !ignored.starts_with("--") {
                let why = "statements before `-- migrate:up` are never run; move them below it";
                return Err(files.marker(path, line.number, why));
            }
            continue;
        };
        let slot = if marker.is_down { &mut down } else { &mut up };
        if slot.is_some() {
            let why = format!("a second `{}`; remove it", line.text.trim().escape_debug());
            return Err(files.marker(path, line.number, why));
        }
        *slot = Some((line, marker.transaction()));
        if down.is_some() && up.is_none() {
            return Err(files.marker(
                path,
                line.number,
                "`-- migrate:up` has to stand before `-- migrate:down`",
            ));
        }
    }
    let Some(up) = up else {
        return Err(files.marker(
            path,
            0,
            "there is no line `-- migrate:up`; write it above the first statement",
        ));
    };
    let part = |(line, transaction): (Line<'_>, _), end: usize| Part {
        file: path,
        first_line: line.number + 1,
        content: &text.as_bytes()[line.next..end],
        transaction,
    };
    let up_end = down.map_or(text.len(), |(line, _)| line.start);
    Ok((part(up, up_end), down.map(|down| part(down, text.len()))))
}

impl<'a> Marker<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let rest = line.strip_prefix("--")?.trim_start().strip_prefix("migrate:")?;
        let (is_down, options) = match rest.strip_prefix("up") {
            Some(options) => (false, options),
            None => (true, rest.strip_prefix("down")?),
        };
        let ends = options.is_empty() || options.starts_with(char::is_whitespace);
        ends.then_some(Self { is_down, options })
    }

    /// dbmate passes over options that it doesn't know.
    fn transaction(&self) -> TransactionMode {
        if self.options.split_whitespace().any(|option| option == "transaction:false") {
            TransactionMode::Never
        } else {
            TransactionMode::Auto
        }
    }
}
