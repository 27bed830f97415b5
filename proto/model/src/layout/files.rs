//! The files of a directory, and what is asked of them.

use std::collections::BTreeMap;

use super::error::LayoutError;
use crate::migration::{Layout, ScriptError};

pub(super) struct Files<'a> {
    /// The directory's own name, and maybe the way to it.
    pub(super) directory: &'a str,
    all: &'a BTreeMap<String, Vec<u8>>,
}

/// A line of a text, without its end.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u32,
    pub(super) text: &'a str,
    /// Byte offsets in the text: of the line, and behind its end.
    pub(super) start: usize,
    pub(super) next: usize,
}

impl<'a> Files<'a> {
    pub(super) fn new(directory: &'a str, all: &'a BTreeMap<String, Vec<u8>>) -> Self {
        Self { directory, all }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.all.iter().map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    pub(super) fn get(&self, path: &str) -> Option<(&'a str, &'a [u8])> {
        self.all.get_key_value(path).map(|(path, content)| (path.as_str(), content.as_slice()))
    }

    /// A path as messages show it.
    pub(super) fn shown(&self, path: &str) -> String {
        format!("{}/{}", self.directory, path.escape_debug())
    }

    /// The text of a file, its byte order mark included.
    pub(super) fn text(&self, path: &str) -> Result<&'a str, LayoutError> {
        let content = self.get(path).map_or(&[][..], |(_, content)| content);
        std::str::from_utf8(content).map_err(|e| {
            let line = content[..e.valid_up_to()].split(|b| *b == b'\n').count();
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            self.marker(path, line, "this is not valid UTF-8; save the file as UTF-8")
        })
    }

    pub(super) fn marker(&self, path: &str, line: u32, message: impl Into<String>) -> LayoutError {
        LayoutError::Marker { file: self.shown(path), error: ScriptError { line, message: message.into() } }
    }

    pub(super) fn duplicate(&self, first: &str, second: &str) -> LayoutError {
        LayoutError::Duplicate { first: self.shown(first), second: self.shown(second) }
    }

    pub(super) fn alone(&self, file: &str, wanted: &str) -> LayoutError {
        LayoutError::Alone { file: self.shown(file), wanted: self.shown(wanted) }
    }

    pub(super) fn stray(&self, path: &str, layout: Layout) -> LayoutError {
        LayoutError::Stray { file: self.shown(path), layout }
    }

    /// For a file that is none of the layout's: an error where it may have been meant as one.
    pub(super) fn pass_over(&self, path: &str, layout: Layout) -> Result<(), LayoutError> {
        if looks_like_a_migration(path) { Err(self.stray(path, layout)) } else { Ok(()) }
    }
}

/// Whether somebody may miss this file's effect: it is SQL, or numbered like a migration. README.md, embed.go and
/// atlas.sum are not.
fn looks_like_a_migration(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let numbered = |name: &str| name.starts_with(|c: char| c.is_ascii_digit());
    let flyways =
        name.contains("__") && name.strip_prefix(['V', 'U', 'B', 'v', 'u', 'b']).is_some_and(numbered);
    is_sql(name) || numbered(name) || flyways
}

/// Tools read `.sql` alone; people also write `.SQL`.
pub(super) fn is_sql(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case("sql"))
}

pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut next = 0;
    (1..).zip(text.split_inclusive('\n')).map(move |(number, whole)| {
        let start = next;
        next += whole.len();
        // A byte order mark stands before the first line's text, not in it.
        let text = if start == 0 { whole.strip_prefix('\u{feff}').unwrap_or(whole) } else { whole };
        Line { number, text: text.trim_end_matches(['\n', '\r']), start, next }
    })
}
