//! A follow-up of a migration: one question, days later, to the cluster that the migration was applied in.
//!
//! It only looks. A query that PostgreSQL refuses is an answer, and not the one that was hoped for; a database that can't be
//! reached is none, and is asked again.

use stopover_model::migration::FollowUp;
use stopover_model::report::{CheckResult, StepError, VerifyReport};

use crate::postgres::{Purpose, SessionName};
use crate::step::StepContext;
use crate::verify::{self, VerifyRequest};

/// Asks it.
pub async fn run(
    context: &StepContext,
    follow_up: &FollowUp,
    system_identifier: &str,
) -> Result<VerifyReport, StepError> {
    let purpose = Purpose::reading(&SessionName::of(context)).expecting_system(Some(system_identifier));
    let session = context.database.connect(&purpose).await?;
    let asked = verify::ask_one(
        &session,
        (&follow_up.name, &follow_up.sql, follow_up.expect.as_ref()),
        VerifyRequest::DEFAULT_TIMEOUT,
    );
    let result = asked.await;
    session.close().await;
    let result = CheckResult { unanswered: false, ..result? };
    Ok(VerifyReport { checks: vec![result] })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stopover_model::event::StepKind;
    use stopover_model::migration::{Expectation, Scalar};
    use stopover_model::report::ErrorClass;

    use super::*;
    use crate::testing::{context, prepared};

    fn follow_up(sql: &str, expect: Option<Expectation>) -> FollowUp {
        FollowUp { name: "later".into(), after: Duration::ZERO, again: None, sql: sql.into(), expect }
    }

    #[tokio::test]
    async fn what_is_seen_is_told_and_an_error_is_no_success() {
        let database = prepared("CREATE TABLE t (a int); INSERT INTO t VALUES (7)").await;
        let context = context(database.url(), StepKind::Inspect);
        let zero = || Some(Expectation::Value(Scalar::Int(0)));
        for (asked, passed, observed) in [
            (follow_up("SELECT count(*) FROM t WHERE a IS NULL", zero()), true, "0"),
            (follow_up("SELECT count(*) FROM t", zero()), false, "1"),
            (follow_up("SELECT a FROM t", None), true, "7"),
            (follow_up("SELECT nothing FROM t", None), false, "the query failed"),
        ] {
            let report = run(&context, &asked, "").await.unwrap();
            let seen = &report.checks[0];
            assert!(seen.passed == passed && seen.observed.contains(observed), "{seen:?}");
            assert!(!seen.unanswered);
        }
        let other = run(&context, &follow_up("SELECT 1", None), "1234").await.unwrap_err();
        assert_eq!(other.class, ErrorClass::Drift, "another cluster than the one that was migrated");
    }
}
