//! `SET lock_timeout`, which says nothing to an engine that sets it anew for each statement.

use stopover_model::sql::StatementKind;

use crate::catalogue::TIMEOUT_WITHOUT_EFFECT;
use crate::raw::Raw;
use crate::reading::Reading;

pub(super) fn check(reading: &Reading<'_>, index: usize) -> Option<Raw> {
    let statement = &reading.statements[index];
    let StatementKind::Set { setting, .. } = &statement.kind else { return None };
    (setting == "lock_timeout").then(|| {
        let message = "The lock_timeout of the pipeline's stage is set anew before each statement; this one has no effect.";
        Raw::ours(&TIMEOUT_WITHOUT_EFFECT, statement.range(), message)
            .help("Remove it, and set lock_timeout in the pipeline, where it is 100ms by default.")
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, rules};

    #[test]
    fn only_the_timeout_that_is_overridden() {
        assert_eq!(
            rules(Sql::up("SET LOCAL lock_timeout = 0;\nSET statement_timeout = 0;")),
            ["1:1 stopover/timeout-without-effect"]
        );
    }
}
