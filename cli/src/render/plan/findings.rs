//! What the linter found in the scripts that would run, each finding once.

use stopover_model::pipeline::LintSettings;

/// "refuses all; allows ban-drop-table"; None where nothing was said.
#[must_use]
pub fn settings(lint: &LintSettings) -> Option<String> {
    let said = lint.lists().into_iter().rev().filter(|(_, names)| !names.is_empty());
    let said: Vec<_> = said
        .map(|(key, names)| {
            let verb = match key {
                "allow" => "allows",
                "warn" => "warns of",
                _ => "refuses",
            };
            format!("{verb} {}", names.join(", "))
        })
        .collect();
    (!said.is_empty()).then(|| said.join("; "))
}
