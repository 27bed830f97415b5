//! A run of monitors: a migration's own checks, or what the stage watches. Each stands for itself: what can't be asked is
//! told apart from what was asked and fails, and keeps no other from being asked.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use futures::future::join_all;
use stopover_model::migration::{Check, Verdict};
use stopover_model::monitor::{HttpProbe, PrometheusProbe, Question, StageMonitor};
use stopover_model::report::{CheckResult, ErrorClass, Outcome, StepError, StepReport, VerifyReport};

use crate::postgres::{Purpose, SessionName};
use crate::step::StepContext;
use crate::verify;
use crate::web::{NoAnswer, Wanted, Web};

/// What is due.
#[derive(Debug, Clone)]
pub struct MonitorRequest {
    /// A migration's own.
    pub checks: Vec<Check>,
    /// The stage's own.
    pub monitors: Vec<StageMonitor>,
    /// What the inspection found; empty: not checked.
    pub system_identifier: String,
    /// For each query.
    pub statement_timeout: Duration,
}

/// Asks all of it.
pub async fn run(context: &StepContext, request: &MonitorRequest, web: &Web) -> Outcome {
    let mut checks = request.checks.clone();
    checks.extend(request.monitors.iter().filter_map(check_of));
    let elsewhere = request.monitors.iter().map(|monitor| ask(monitor, web));
    let asking = async { tokio::join!(ask_database(context, request, checks), join_all(elsewhere)) };
    let (of_database, elsewhere) = tokio::select! {
        answers = asking => answers,
        () = context.cancel.cancelled() => {
            let error = StepError::new(ErrorClass::Cancelled, "the monitors were cancelled");
            return Outcome::Failed { error, report: None };
        }
    };
    let mut results = match of_database {
        Ok(results) => results,
        Err(error) => return Outcome::Failed { error, report: None },
    };
    results.extend(elsewhere.into_iter().flatten());
    let fails = |name: &str| request.monitors.iter().any(|m| m.silence_fails && m.probe.name == name);
    for result in &mut results {
        result.unanswered &= !fails(&result.name);
    }
    outcome(VerifyReport { checks: results })
}

fn check_of(monitor: &StageMonitor) -> Option<Check> {
    match &monitor.probe.question {
        Question::Sql { sql, expect } => {
            Some(Check { name: monitor.probe.name.clone(), sql: sql.clone(), expect: expect.clone() })
        }
        Question::Http(_) | Question::Prometheus(_) => None,
    }
}

/// A database that is away answers none of its questions; one that is another than the stage's is an error of the step.
async fn ask_database(
    context: &StepContext,
    request: &MonitorRequest,
    checks: Vec<Check>,
) -> Result<Vec<CheckResult>, StepError> {
    if checks.is_empty() {
        return Ok(Vec::new());
    }
    let unanswered = |checks: &[Check], error: &StepError| {
        checks
            .iter()
            .map(|check| silent(&check.name, check.expect.to_string(), error.message.clone()))
            .collect()
    };
    let purpose =
        Purpose::reading(&SessionName::of(context)).expecting_system(Some(&request.system_identifier));
    let session = match context.database.connect(&purpose).await {
        Ok(session) => session,
        Err(error) => {
            let error = StepError::from(error);
            return match error.class {
                ErrorClass::Transient => Ok(unanswered(&checks, &error)),
                _ => Err(error),
            };
        }
    };
    let mut results = Vec::with_capacity(checks.len());
    for (place, check) in checks.iter().enumerate() {
        match verify::check_one(&session, check, request.statement_timeout).await {
            Ok(result) => results.push(result),
            Err(error) => {
                let rest: Vec<CheckResult> = unanswered(&checks[place..], &error);
                results.extend(rest);
                break;
            }
        }
    }
    session.close().await;
    Ok(results)
}

async fn ask(monitor: &StageMonitor, web: &Web) -> Option<CheckResult> {
    let started = Instant::now();
    let answer = match &monitor.probe.question {
        Question::Sql { .. } => return None,
        Question::Http(probe) => ask_http(probe, web).await,
        Question::Prometheus(probe) => ask_prometheus(probe, web).await,
    };
    let (name, expected) = (&monitor.probe.name, monitor.probe.question.to_string());
    let result = match answer {
        Ok(verdict) => CheckResult {
            name: name.clone(),
            passed: verdict.passed,
            unanswered: false,
            expected,
            observed: verdict.observed,
            note: None,
            took: started.elapsed(),
        },
        Err(why) => CheckResult { took: started.elapsed(), ..silent(name, expected, why) },
    };
    Some(result)
}

async fn ask_http(probe: &HttpProbe, web: &Web) -> Result<Verdict, String> {
    let wanted = if probe.json.is_some() { Wanted::Body } else { Wanted::Status };
    match web.get(&probe.url, probe.status, wanted).await {
        Ok(answer) => Ok(probe.judge(answer.status, &answer.body)),
        // It did answer, with what is not to be followed.
        Err(error @ (NoAnswer::LedAstray { .. } | NoAnswer::Redirects)) => {
            Ok(Verdict { passed: false, observed: error.to_string() })
        }
        Err(error) => Err(error.to_string()),
    }
}

async fn ask_prometheus(probe: &PrometheusProbe, web: &Web) -> Result<Verdict, String> {
    const OK: u16 = 200;
    let answer = web.get(&probe.request(), OK, Wanted::Body).await.map_err(|error| error.to_string())?;
    probe.judge(&answer.body).map_err(|why| match answer.status {
        OK => why.escape_debug().to_string(),
        status => format!("status {status}: {}", why.escape_debug()),
    })
}

fn silent(name: &str, expected: String, why: String) -> CheckResult {
    CheckResult {
        name: name.to_owned(),
        passed: false,
        unanswered: true,
        expected,
        observed: why,
        note: None,
        took: Duration::ZERO,
    }
}

fn outcome(report: VerifyReport) -> Outcome {
    let failed: Vec<_> = report.checks.iter().filter(|c| !c.passed && !c.unanswered).collect();
    let silent: Vec<_> = report.checks.iter().filter(|c| c.unanswered).collect();
    let all = report.checks.len();
    let error = match (failed.first(), silent.first()) {
        (None, None) => return Outcome::Succeeded { report: StepReport::Verified(report) },
        (Some(first), _) => {
            let (n, name, expected, observed) = (failed.len(), &first.name, &first.expected, &first.observed);
            let message =
                format!("{n} of {all} monitors failed: {name}: expected {expected}, found {observed}");
            StepError::new(ErrorClass::Check, message)
        }
        (None, Some(first)) => {
            let (n, name, observed) = (silent.len(), &first.name, &first.observed);
            let message = format!("{n} of {all} monitors could not be asked: {name}: {observed}");
            StepError::new(ErrorClass::Transient, message)
        }
    };
    Outcome::Failed { error, report: Some(StepReport::Verified(report)) }
}
