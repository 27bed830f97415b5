//! A block that commits by itself, and nobody has said whether it may be run again.

use stopover_model::sql::{StatementKind, Transactionality};

use crate::catalogue::RERUN_NOT_DECLARED;
use crate::raw::Raw;
use crate::reading::Reading;

pub(super) fn check(reading: &Reading<'_>, index: usize) -> Option<Raw> {
    let statement = &reading.statements[index];
    let opaque = matches!(statement.kind, StatementKind::Do { .. } | StatementKind::Call { .. });
    if reading.source.rerun_is_safe || !opaque {
        return None;
    }
    let Transactionality::OwnTransaction { reason } = statement.at.transactionality() else { return None };
    let message = format!(
        "After a crash in the middle nobody can see how far this came ({reason}): the deployment stops as UNKNOWN and waits for a person."
    );
    Some(Raw::ours(&RERUN_NOT_DECLARED, statement.range(), message).help(
        "If running it once more completes what is missing and does no harm, say so in migration.toml: rerun = \"safe\"",
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, rules};

    #[test]
    fn a_loop_that_commits_says_whether_it_may_run_again() {
        let sql = "DO $$ BEGIN COMMIT; END $$;\nDO $$ BEGIN PERFORM 1; END $$;";
        assert_eq!(rules(Sql::up(sql)), ["1:1 stopover/rerun-not-declared"]);
        assert_eq!(rules(Sql { rerun_is_safe: true, ..Sql::up(sql) }), [""; 0]);
    }
}
