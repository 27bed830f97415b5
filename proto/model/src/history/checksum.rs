//! Whether a file is still what a tool has applied, where the tool wrote down what that was.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha384};

use super::Tool;
use crate::migration::{Layout, Migration};

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    Changed,
    /// The tool keeps no checksum, or one that can't be made from what is here.
    NotKnown,
}

pub(super) fn compare(tool: Tool, checksum: Option<&str>, migration: &Migration) -> Compared {
    let (Some(expected), Some(content)) = (checksum, whole_file(migration)) else {
        return Compared::NotKnown;
    };
    let found = match tool {
        Tool::Sqlx => hexadecimal(&Sha384::digest(content)),
        Tool::Flyway => crc32_of_lines(content).to_string(),
        _ => return Compared::NotKnown,
    };
    if found.eq_ignore_ascii_case(expected) { Compared::Same } else { Compared::Changed }
}

/// What the tool has read. Of a layout that keeps both ways in one file only a part is here.
fn whole_file(migration: &Migration) -> Option<&[u8]> {
    let sections = |layout| matches!(layout, Layout::Goose | Layout::Dbmate);
    if migration.manifest.source.as_ref().is_some_and(|source| sections(source.layout)) {
        return None;
    }
    migration.files().get("up.sql").map(Vec::as_slice)
}

/// Flyway's: CRC-32 over the lines without their ends and without a byte order mark, as a signed number.
fn crc32_of_lines(content: &[u8]) -> i32 {
    let mut hasher = crc32fast::Hasher::new();
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
    for line in content.split(|byte| matches!(byte, b'\n' | b'\r')) {
        hasher.update(line);
    }
    hasher.finalize().cast_signed()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // A String takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flyways_checksum_knows_no_line_ends() {
        // zlib's CRC-32 of "SELECT 1;SELECT 2;".
        let expected = crc32fast::hash(b"SELECT 1;SELECT 2;").cast_signed();
        for text in ["SELECT 1;\nSELECT 2;\n", "\u{feff}SELECT 1;\r\n\r\nSELECT 2;", "SELECT 1;\rSELECT 2;\r"]
        {
            assert_eq!(crc32_of_lines(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(crc32_of_lines(b"123456789"), 0xCBF4_3926_u32.cast_signed(), "CRC-32's check value");
        assert_eq!(crc32_of_lines(b""), 0);
    }
}
