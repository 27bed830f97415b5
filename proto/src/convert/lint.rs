//! What the linter found.

use stopover_model::lint::{LintFinding, ScriptRole};

use super::field::{enumeration, message, name, names, plain};
use crate::v1;

wire_message!(LintFinding {
    migration: name,
    script: enumeration,
    rule: plain,
    place: message,
    message: plain,
    warn: names,
    refuse: names,
});

wire_enum!(ScriptRole { Up, Batched, Down });
