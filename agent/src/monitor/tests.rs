use stopover_model::event::StepKind;
use stopover_model::migration::{Expectation, Scalar};
use stopover_model::monitor::Probe;
use stopover_tests::{HttpTarget, Reply};

use super::*;
use crate::testing::{context, prepared};
use crate::web::WebConfig;

fn monitor(name: &str, question: Question) -> StageMonitor {
    let probe = Probe { name: name.to_owned(), question };
    StageMonitor { every: Duration::from_secs(1), patience: Duration::ZERO, silence_fails: false, probe }
}

fn sql(name: &str, sql: &str) -> StageMonitor {
    let expect = Expectation::Value(Scalar::Int(0));
    monitor(name, Question::Sql { sql: sql.to_owned(), expect })
}

fn http(name: &str, url: String) -> StageMonitor {
    let expect = Some(Expectation::Value(Scalar::Text("ok".into())));
    monitor(name, Question::Http(HttpProbe { url, status: 200, json: Some("$.status".into()), expect }))
}

fn request(monitors: Vec<StageMonitor>) -> MonitorRequest {
    let statement_timeout = Duration::from_millis(300);
    MonitorRequest { checks: Vec::new(), monitors, system_identifier: String::new(), statement_timeout }
}

fn web(target: &HttpTarget) -> Web {
    let allow = vec![target.origin.parse().unwrap()];
    Web::new(WebConfig { allow, timeout: Duration::from_millis(500), ..WebConfig::default() }).unwrap()
}

/// Name, passed, unanswered and what was observed.
fn results(outcome: &Outcome) -> Vec<(&str, bool, bool, &str)> {
    match outcome {
        Outcome::Succeeded { report: StepReport::Verified(report) }
        | Outcome::Failed { report: Some(StepReport::Verified(report)), .. } => report
            .checks
            .iter()
            .map(|c| (c.name.as_str(), c.passed, c.unanswered, c.observed.as_str()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_target_that_turns_sick_fails_and_one_that_is_gone_is_only_unanswered() {
    let database = prepared("").await;
    let context = context(database.url(), StepKind::Monitor);
    let target = HttpTarget::start().await;
    let asked = request(vec![http("sign-in", format!("{}/health", target.origin)), sql("quiet", "SELECT 0")]);
    let web = web(&target);
    target.says("/health", Reply::Is(200, r#"{"status": "ok", "users": 17}"#.into()));
    let well = run(&context, &asked, &web).await;
    assert!(matches!(well, Outcome::Succeeded { .. }), "{well:?}");
    assert_eq!(results(&well), [("quiet", true, false, "0"), ("sign-in", true, false, "ok")]);

    target.says("/health", Reply::Is(200, r#"{"status": "sick", "users": 17}"#.into()));
    let sick = run(&context, &asked, &web).await;
    let error = sick.error().unwrap();
    assert_eq!(error.class, ErrorClass::Check);
    let message = "1 of 2 monitors failed: sign-in: expected status 200, $.status: 'ok', found sick";
    assert_eq!(error.message, message);

    drop(target);
    let gone = run(&context, &asked, &web).await;
    assert_eq!(gone.error().unwrap().class, ErrorClass::Transient);
    assert!(results(&gone)[1].2 && !results(&gone)[1].1 && results(&gone)[0].1, "{gone:?}");
    let mut strict = asked;
    strict.monitors[0].silence_fails = true;
    let failed = run(&context, &strict, &web).await;
    assert_eq!(failed.error().unwrap().class, ErrorClass::Check, "as the pipeline has it");
}

#[tokio::test]
async fn a_query_that_can_not_be_answered_fails_nothing() {
    let database = prepared("").await;
    let target = HttpTarget::start().await;
    let asked = request(vec![
        sql("broken", "SELECT nothing FROM nowhere"),
        sql("slow", "SELECT 0 FROM pg_sleep(60)"),
        sql("quiet", "SELECT 0"),
    ]);
    let outcome = run(&context(database.url(), StepKind::Monitor), &asked, &web(&target)).await;
    assert_eq!(outcome.error().unwrap().class, ErrorClass::Transient);
    let shown = results(&outcome);
    let silent: Vec<bool> = shown.iter().map(|r| r.2).collect();
    assert_eq!(silent, [true, true, false]);
    assert!(shown[0].3.contains("SQLSTATE 42P01") && shown[1].3 == "no answer within 300 ms", "{shown:?}");
    // Nobody is there: each of them says so, and the others are asked all the same.
    let nowhere = context("host=127.0.0.1 port=1 dbname=x user=x", StepKind::Monitor);
    target.says("/health", Reply::Is(200, r#"{"status": "ok"}"#.into()));
    let asked = request(vec![sql("quiet", "SELECT 0"), http("app", format!("{}/health", target.origin))]);
    let outcome = run(&nowhere, &asked, &web(&target)).await;
    assert_eq!(
        results(&outcome).iter().map(|r| (r.1, r.2)).collect::<Vec<_>>(),
        [(false, true), (true, false)]
    );
    // Another cluster than the stage's is no silence.
    let mut other = request(vec![sql("quiet", "SELECT 0")]);
    other.system_identifier = "1234".to_owned();
    let outcome = run(&context(database.url(), StepKind::Monitor), &other, &web(&target)).await;
    assert_eq!(outcome.error().unwrap().class, ErrorClass::Drift);
}

#[tokio::test]
async fn prometheus_is_asked_by_its_api() {
    let target = HttpTarget::start().await;
    let below = |query: &str| {
        let (url, query) = (format!("{}/prometheus/", target.origin), query.to_owned());
        monitor(
            "errors",
            Question::Prometheus(PrometheusProbe { url, query, above: None, below: Some(0.01) }),
        )
    };
    let answer = |value: &str| {
        let body = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"VALUE"]}]}}"#;
        target.says("/prometheus/api/v1/query", Reply::Is(200, body.replace("VALUE", value)));
    };
    let context = context("host=127.0.0.1 port=1 dbname=x user=x", StepKind::Monitor);
    let asked = request(vec![below(r#"rate(errors{job="app"}[5m])"#)]);
    let web = web(&target);
    answer("0.001");
    assert!(matches!(run(&context, &asked, &web).await, Outcome::Succeeded { .. }));
    let line = target.requests()[0].lines().next().unwrap().to_owned();
    assert_eq!(
        line,
        "GET /prometheus/api/v1/query?query=rate%28errors%7Bjob%3D%22app%22%7D%5B5m%5D%29 HTTP/1.1"
    );
    answer("0.5");
    let high = run(&context, &asked, &web).await;
    assert_eq!(results(&high), [("errors", false, false, "0.5")]);
    let error = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
    target.says("/prometheus/api/v1/query", Reply::Is(400, error.into()));
    let wrong = run(&context, &asked, &web).await;
    assert_eq!(results(&wrong), [("errors", false, true, "status 400: Prometheus says: parse error")]);
}
