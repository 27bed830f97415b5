//! Logical replication's subscriptions, and the option lists that decide what they may do.

use super::super::cursor::Cursor;
use super::super::kind::StatementKind;

/// CREATE SUBSCRIPTION, its name being next.
pub(super) fn create(mut at: Cursor<'_>) -> Option<StatementKind> {
    let name = at.identifier()?;
    let options = with_options(at).unwrap_or_default();
    let creates_slot =
        option(options, "create_slot") != Some(false) && option(options, "connect") != Some(false);
    Some(StatementKind::CreateSubscription { name, creates_slot })
}

/// ALTER SUBSCRIPTION, its name being next.
pub(super) fn alter(mut at: Cursor<'_>) -> Option<StatementKind> {
    at.name()?;
    let reaches_publisher = if at.words(&["refresh", "publication"]) {
        true
    } else if at.any_word(&["set", "add", "drop"]) {
        if at.word("publication") {
            option(with_options(at).unwrap_or_default(), "refresh") != Some(false)
        } else {
            let options = at.skip_parentheses().unwrap_or_default();
            option(options, "failover").is_some() || option(options, "two_phase").is_some()
        }
    } else {
        false
    };
    Some(StatementKind::AlterSubscription { reaches_publisher })
}

fn with_options(mut at: Cursor<'_>) -> Option<&str> {
    while let Some(token) = at.next_at_top() {
        if at.text(token).eq_ignore_ascii_case("with") {
            return at.skip_parentheses();
        }
    }
    None
}

/// The value of a boolean option; an option without a value is on.
pub(super) fn option(options: &str, wanted: &str) -> Option<bool> {
    let mut at = Cursor::new(options);
    let mut value = None;
    while let Some(name) = at.identifier() {
        let mut on = true;
        while let Some(token) = at.next() {
            match at.text(token) {
                "," => break,
                "=" => {}
                text => {
                    let text = text.trim_matches(['\'', '"']).to_ascii_lowercase();
                    on = !matches!(text.as_str(), "false" | "off" | "no" | "0");
                }
            }
        }
        if name == wanted {
            value = Some(on);
        }
    }
    value
}
