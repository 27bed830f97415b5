//! What one text changes in another, as a unified diff.

use similar::{ChangeTag, TextDiff};

use super::line::{Line, Tone};

/// Lines around each change.
const AROUND: usize = 3;

/// Both texts have a name in the heading; nothing where they are equal.
#[must_use]
pub fn lines(before: (&str, &str), after: (&str, &str)) -> Vec<Line> {
    let diff = TextDiff::from_lines(before.1, after.1);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(AROUND).iter_hunks() {
        lines.push(Line::of(Tone::Busy, hunk.header().to_string().trim_end()));
        for change in hunk.iter_changes() {
            let (tone, sign) = match change.tag() {
                ChangeTag::Equal => (Tone::Plain, " "),
                ChangeTag::Delete => (Tone::Bad, "-"),
                ChangeTag::Insert => (Tone::Good, "+"),
            };
            let text = change.value().trim_end_matches('\n');
            lines.push(Line::of(tone, sign).with(tone, visible(text, change.tag())));
            if change.missing_newline() {
                lines.push(Line::new().dim("\\ No newline at end of file"));
            }
        }
    }
    if !lines.is_empty() {
        let heading =
            [Line::new().strong(format!("--- {}", before.0)), Line::new().strong(format!("+++ {}", after.0))];
        lines.splice(..0, heading);
    }
    lines
}

/// Else a line that differs in its end alone would be the same twice.
fn visible(text: &str, tag: ChangeTag) -> String {
    if tag == ChangeTag::Equal { text.to_owned() } else { text.replace('\r', "\\r") }
}

#[cfg(test)]
mod tests {
    use super::super::line::text;
    use super::*;

    fn shown(before: &str, after: &str) -> String {
        text(&lines(("users-db, revision 3", before), ("pipeline.toml", after)))
    }

    #[test]
    fn what_goes_and_what_comes_stands_between_lines_that_stay() {
        let before = "name = \"users-db\"\n\n[[stage]]\nenvironment = \"staging\"\nsoak = \"10s\"\n\n[[stage]]\nenvironment = \"production\"\n# the end\n";
        let after = before.replace("10s", "1h");
        insta::assert_snapshot!(shown(before, &after), @r#"
        --- users-db, revision 3
        +++ pipeline.toml
        @@ -2,7 +2,7 @@
         
         [[stage]]
         environment = "staging"
        -soak = "10s"
        +soak = "1h"
         
         [[stage]]
         environment = "production"
        "#);
    }

    #[test]
    fn equal_texts_differ_in_nothing() {
        assert_eq!(shown("a = 1\n", "a = 1\n"), "");
    }

    #[test]
    fn ends_of_lines_and_of_the_file_are_seen() {
        assert!(shown("a = 1\n", "a = 1\r\n").contains("-a = 1\n+a = 1\\r\n"), "{}", shown("a\n", "a\r\n"));
        assert!(shown("a = 1\n", "a = 1").contains("+a = 1\n\\ No newline at end of file\n"));
    }

    #[test]
    fn a_stored_text_can_not_move_the_cursor() {
        assert!(shown("# \u{1b}[2J\n", "").contains("-# \\u{1b}[2J"));
    }
}
