//! Where a script would run.

use stopover_model::impact::StatementImpact;

/// A database where a script would run.
pub(super) struct Place<'a> {
    /// `staging/app`
    pub(super) name: String,
    /// What the script's statements do there; none where the agent says nothing of it.
    pub(super) statements: &'a [StatementImpact],
}
