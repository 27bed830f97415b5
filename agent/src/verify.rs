//! Verification: the migration's own questions to the database, and whether the answers are as they must be.
//!
//! Each check runs by itself in a read-only transaction with a time limit. Answers are taken as PostgreSQL prints them;
//! of a large answer the first rows are kept and all are counted. Nothing here changes anything.

mod answer;
mod index;
mod plan;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use stopover_model::migration::{Check, Expectation, seen};
use stopover_model::report::{
    CheckResult, ErrorClass, Outcome, Progress, ProgressUnit, StepError, StepReport, VerifyReport,
};

use crate::postgres::{Purpose, QueryError, Session, SessionName};
use crate::step::StepContext;
use answer::Answer;

/// What a verification is asked to do.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    pub checks: Vec<Check>,
    /// What the inspection found; empty: not checked.
    pub system_identifier: String,
    /// For each check.
    pub statement_timeout: Duration,
}

impl VerifyRequest {
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);
}

/// Runs the checks one after the other.
pub async fn run(context: &StepContext, request: &VerifyRequest) -> Outcome {
    let report = match verify(context, request).await {
        Ok(report) => report,
        Err(error) => return Outcome::Failed { error, report: None },
    };
    match failure(&report) {
        None => Outcome::Succeeded { report: StepReport::Verified(report) },
        Some(error) => Outcome::Failed { error, report: Some(StepReport::Verified(report)) },
    }
}

async fn verify(context: &StepContext, request: &VerifyRequest) -> Result<VerifyReport, StepError> {
    let purpose =
        Purpose::reading(&SessionName::of(context)).expecting_system(Some(&request.system_identifier));
    let session = context.database.connect(&purpose).await?;
    let checked = tokio::select! {
        checked = check_all(context, request, &session) => checked,
        () = context.cancel.cancelled() => {
            session.cancel().await;
            Err(StepError::new(ErrorClass::Cancelled, "the verification was cancelled"))
        }
    };
    session.close().await;
    checked
}

async fn check_all(
    context: &StepContext,
    request: &VerifyRequest,
    session: &Session,
) -> Result<VerifyReport, StepError> {
    let mut checks = Vec::with_capacity(request.checks.len());
    let total = request.checks.len() as u64;
    for (done, check) in (0..).zip(&request.checks) {
        let doing = format!("checking that {}", check.name);
        context.reporter.progress(Progress {
            doing,
            done,
            total,
            unit: ProgressUnit::Checks,
            backfill: None,
        });
        // A question that can't be asked verifies nothing.
        let result = check_one(session, check, request.statement_timeout).await?;
        let result = CheckResult { unanswered: false, ..result };
        context.reporter.message(line(&result));
        checks.push(result);
    }
    Ok(VerifyReport { checks })
}

/// An error of the query is the check's own failure; only a lost connection ends the whole step.
pub(crate) async fn check_one(
    session: &Session,
    check: &Check,
    timeout: Duration,
) -> Result<CheckResult, StepError> {
    ask_one(session, (&check.name, &check.sql, Some(&check.expect)), timeout).await
}

/// The same of a question by its name, its query, and what it must answer; None: whatever it answers will do.
pub(crate) async fn ask_one(
    session: &Session,
    (name, sql, expect): (&str, &str, Option<&Expectation>),
    timeout: Duration,
) -> Result<CheckResult, StepError> {
    let started = Instant::now();
    let begin = format!(
        "BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = {}; SET LOCAL client_min_messages = error",
        timeout.as_millis()
    );
    let found = match session.client().batch_execute(&begin).await {
        Ok(()) => look(session, sql, expect).await,
        Err(error) => Err(session.error(error)),
    };
    let ended = session.client().batch_execute("ROLLBACK").await.map_err(|error| session.error(error));
    let finding = match (found, ended) {
        (Err(error), _) | (_, Err(error)) if error.is_lost() => {
            return Err(error.into_step_error(&format!("could not check that {name}")));
        }
        (Ok(finding), _) => finding,
        (Err(error), _) => Finding { unanswered: true, ..Finding::failed(error_text(&error, timeout)) },
    };
    Ok(CheckResult {
        name: name.to_owned(),
        passed: finding.passed,
        unanswered: finding.unanswered,
        expected: expect.map_or_else(|| "an answer".to_owned(), ToString::to_string),
        observed: finding.observed,
        note: finding.note,
        took: started.elapsed(),
    })
}

/// What came out of one check.
struct Finding {
    passed: bool,
    unanswered: bool,
    observed: String,
    note: Option<String>,
}

impl Finding {
    fn passed(observed: impl Into<String>) -> Self {
        Self { passed: true, unanswered: false, observed: observed.into(), note: None }
    }

    fn failed(observed: impl Into<String>) -> Self {
        Self { passed: false, unanswered: false, observed: observed.into(), note: None }
    }

    fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

async fn look(session: &Session, sql: &str, expect: Option<&Expectation>) -> Result<Finding, QueryError> {
    if let Some(Expectation::UsesIndex(index)) = expect {
        return index::look(session, sql, index).await;
    }
    let answer = Answer::of(session, sql).await?;
    let verdict = match expect {
        Some(expect) => expect.judge(&answer.rows, answer.total),
        None => seen(&answer.rows, answer.total),
    };
    Ok(Finding { passed: verdict.passed, unanswered: false, observed: verdict.observed, note: None })
}

fn error_text(error: &QueryError, timeout: Duration) -> String {
    match error.sqlstate() {
        Some("57014") => format!("no answer within {}", stopover_model::duration::human(timeout)),
        Some("25006") => format!("{error}: a check may only read"),
        Some(code) => format!("the query failed: {error} (SQLSTATE {code})"),
        None => format!("the query failed: {error}"),
    }
}

/// The same in a line.
pub(crate) fn line(result: &CheckResult) -> String {
    let note = result.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    if result.passed {
        format!("passed: {}{note}", result.name)
    } else {
        format!("FAILED: {}: expected {}, found {}{note}", result.name, result.expected, result.observed)
    }
}

fn failure(report: &VerifyReport) -> Option<StepError> {
    let failed: Vec<&CheckResult> = report.checks.iter().filter(|check| !check.passed).collect();
    let first = failed.first()?;
    let message = format!(
        "{} of {} verifications failed: {}: expected {}, found {}",
        failed.len(),
        report.checks.len(),
        first.name,
        first.expected,
        first.observed
    );
    Some(StepError::new(ErrorClass::Check, message))
}
