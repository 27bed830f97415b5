//! What the linter found in a deployment's scripts, as far as anything is decided by it. The linter itself is not here: its
//! findings are in the deployment's first event, so that a log says for ever what was warned of, and what was refused.

use serde::{Deserialize, Serialize};

use crate::id::{EnvironmentName, MigrationId};
use crate::migration::Variant;
use crate::report::SqlPlace;

/// One finding, and what the stages make of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintFinding {
    pub migration: MigrationId,
    pub script: ScriptRole,
    /// `ban-drop-column`, or one of ours: `stopover/update-without-where`.
    pub rule: String,
    pub place: SqlPlace,
    /// What is wrong.
    pub message: String,
    /// The stages that go on with a warning. A stage that is in neither list allows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warn: Vec<EnvironmentName>,
    /// The stages that don't begin with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refuse: Vec<EnvironmentName>,
}

/// What a script of a migration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptRole {
    /// The way there. The next migration finds what it did.
    Up,
    /// The way there for large tables, instead of the other.
    Batched,
    /// The way back of the script before.
    Down,
}

impl ScriptRole {
    pub const ALL: [Self; 3] = [Self::Up, Self::Batched, Self::Down];

    /// Whether it runs where this variant does, or may have to: where a migration is applied, it may be taken back.
    #[must_use]
    pub(crate) fn comes_with(self, variant: Variant) -> bool {
        match self {
            Self::Up => variant == Variant::Standard,
            Self::Batched => variant == Variant::Batched,
            Self::Down => true,
        }
    }
}

impl LintFinding {
    /// As a deployment keeps it: of what nobody refuses the place is enough.
    #[must_use]
    pub fn to_keep(mut self) -> Self {
        if self.refuse.is_empty() {
            self.message.clear();
            self.place.text.clear();
        }
        shorten(&mut self.message);
        shorten(&mut self.place.text);
        self
    }
}

/// Of a line that is longer nobody reads the end.
fn shorten(text: &mut String) {
    const LONGEST: usize = 400;
    text.truncate(text.floor_char_boundary(LONGEST));
}
