//! A monitor's question, and the judgement of what was answered.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json_path::JsonPath;
use url::Url;

use super::prometheus;
use crate::migration::{Expectation, Verdict, seen};

/// A question with its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub name: String,
    #[serde(flatten)]
    pub question: Question,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Of each database of the stage.
    Sql {
        sql: String,
        expect: Expectation,
    },
    Http(HttpProbe),
    Prometheus(PrometheusProbe),
}

/// A GET, and what must be answered. Redirects lead no further than the agent's allowed addresses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpProbe {
    pub url: String,
    pub status: u16,
    /// A path (RFC 9535) into the body, which is JSON then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    /// Of what the path leads to; None: it has to lead to something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
}

/// An instant query; every value in its answer has to keep the limits, which are exclusive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrometheusProbe {
    /// Of the server, without `/api/v1/query`.
    pub url: String,
    pub query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
}

/// Why a question can't be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProbe {
    #[error("`{0}` is not an address: write http:// or https:// with a host")]
    Url(String),
    #[error(
        "an address holds no user and no password: the agent adds tokens, from [http.headers] of its agent.toml"
    )]
    Credentials,
    #[error("`{0}` is not a status of HTTP: 100 to 599")]
    Status(u16),
    #[error("`{path}` is not a JSON path: {why}")]
    Path { path: String, why: String },
    #[error("`expect` is about what `json` leads to: add json = \"$.status\", say")]
    NoPath,
    #[error("an answer over HTTP has one value: use expect, expect_min or expect_max")]
    Expectation,
    #[error("a query needs a limit that is a number: add `below` or `above`")]
    NoLimit,
    #[error("the query is empty")]
    NoQuery,
}

impl Probe {
    /// Whether each database is asked, or somewhere else once.
    #[must_use]
    pub fn asks_databases(&self) -> bool {
        matches!(self.question, Question::Sql { .. })
    }
}

impl HttpProbe {
    #[expect(clippy::match_same_arms, reason = "each case is said for itself")]
    pub fn check(&self) -> Result<(), InvalidProbe> {
        check_url(&self.url)?;
        if !(100..600).contains(&self.status) {
            return Err(InvalidProbe::Status(self.status));
        }
        if let Some(path) = &self.json {
            parse_path(path)?;
        }
        match &self.expect {
            None => Ok(()),
            Some(_) if self.json.is_none() => Err(InvalidProbe::NoPath),
            Some(Expectation::Value(_) | Expectation::Between { .. }) => Ok(()),
            Some(_) => Err(InvalidProbe::Expectation),
        }
    }

    /// Whether an answer with this status, and this body where `json` asks for it, is as it must be. What was seen never
    /// holds more of the body than the value that the path leads to.
    #[must_use]
    pub fn judge(&self, status: u16, body: &[u8]) -> Verdict {
        if status != self.status {
            return Verdict { passed: false, observed: format!("status {status}") };
        }
        let Some(path) = &self.json else {
            return Verdict { passed: true, observed: format!("status {status}") };
        };
        let failed = |observed: &str| Verdict { passed: false, observed: observed.to_owned() };
        let Ok(parsed) = parse_path(path) else { return failed("the path is none") };
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) else {
            return failed("the body is not JSON");
        };
        let found = parsed.query(&json).all();
        let printed = match &found[..] {
            [] => return failed(&format!("{path} leads to nothing")),
            [value] => printed(value),
            several => return failed(&format!("{path} leads to {} values", several.len())),
        };
        let rows = [vec![(path.clone(), printed)]];
        self.expect.as_ref().map_or_else(|| seen(&rows, 1), |expect| expect.judge(&rows, 1))
    }
}

impl PrometheusProbe {
    pub fn check(&self) -> Result<(), InvalidProbe> {
        check_url(&self.url)?;
        if self.query.trim().is_empty() {
            return Err(InvalidProbe::NoQuery);
        }
        let limits = [self.above, self.below];
        if limits.iter().flatten().next().is_none() || limits.iter().flatten().any(|limit| limit.is_nan()) {
            return Err(InvalidProbe::NoLimit);
        }
        Ok(())
    }

    /// What the server is asked.
    #[must_use]
    pub fn request(&self) -> String {
        let Ok(mut url) = Url::parse(&self.url) else { return self.url.clone() };
        let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.query_pairs_mut().append_pair("query", &self.query);
        url.into()
    }

    /// Whether every value of an answer keeps the limits; Err: there is none, and why.
    #[expect(clippy::match_same_arms, reason = "each case is said for itself")]
    pub fn judge(&self, body: &[u8]) -> Result<Verdict, String> {
        let samples = prometheus::samples(body)?;
        let keeps = |value: f64| {
            self.above.is_none_or(|above| value > above) && self.below.is_none_or(|below| value < below)
        };
        let broken: Vec<f64> = samples.iter().copied().filter(|value| !keeps(*value)).collect();
        let observed = match (&broken[..], &samples[..]) {
            ([], [one]) => one.to_string(),
            ([], all) => {
                let values = all.iter().copied();
                let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
                format!("{} values, from {low} to {high}", all.len())
            }
            ([one], [_]) => one.to_string(),
            ([first, ..], all) => format!("{first}; {} of {} values break it", broken.len(), all.len()),
        };
        Ok(Verdict { passed: broken.is_empty(), observed })
    }
}

impl fmt::Display for Question {
    /// What is expected.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sql { expect, .. } => expect.fmt(f),
            Self::Http(probe) => {
                write!(f, "status {}", probe.status)?;
                match (&probe.json, &probe.expect) {
                    (Some(path), Some(expect)) => write!(f, ", {path}: {expect}"),
                    (Some(path), None) => write!(f, ", {path}: anything"),
                    (None, _) => Ok(()),
                }
            }
            Self::Prometheus(probe) => match (probe.above, probe.below) {
                (Some(above), Some(below)) => write!(f, "above {above} and below {below}"),
                (Some(above), None) => write!(f, "above {above}"),
                (None, Some(below)) => write!(f, "below {below}"),
                (None, None) => f.write_str("a number"),
            },
        }
    }
}

fn check_url(text: &str) -> Result<(), InvalidProbe> {
    let url = Url::parse(text).map_err(|_| InvalidProbe::Url(text.to_owned()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidProbe::Credentials);
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(InvalidProbe::Url(text.to_owned()));
    }
    Ok(())
}

fn parse_path(path: &str) -> Result<JsonPath, InvalidProbe> {
    JsonPath::parse(path).map_err(|e| InvalidProbe::Path { path: path.to_owned(), why: e.to_string() })
}

/// As a query's answer would be printed; None for null. A part of the body that is more than a value is not repeated.
fn printed(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Object(_) => Some("an object".to_owned()),
        serde_json::Value::Array(_) => Some("an array".to_owned()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::Scalar;

    fn http(json: Option<&str>, expect: Option<Expectation>) -> HttpProbe {
        let url = "https://app.internal/health".to_owned();
        HttpProbe { url, status: 200, json: json.map(str::to_owned), expect }
    }

    #[test]
    fn an_answer_is_judged_by_its_status_then_by_the_value_that_the_path_leads_to() {
        let ok = http(Some("$.status"), Some(Expectation::Value(Scalar::Text("ok".into()))));
        let judged = |body: &str| ok.judge(200, body.as_bytes());
        assert!(judged(r#"{"status": "ok", "secret": "x"}"#).passed);
        assert_eq!(judged(r#"{"status": "sick", "secret": "x"}"#).observed, "sick");
        assert_eq!(judged(r#"{"state": "ok"}"#).observed, "$.status leads to nothing");
        assert_eq!(judged("<html>").observed, "the body is not JSON");
        assert_eq!(ok.judge(503, b"{}").observed, "status 503");
        assert!(http(None, None).judge(200, b"anything").passed);
        let rate = http(Some("$.a[0].rate"), Some(Expectation::Between { min: None, max: Some(0.01) }));
        assert!(rate.judge(200, br#"{"a": [{"rate": 0.005}]}"#).passed);
        assert!(!rate.judge(200, br#"{"a": [{"rate": 0.5}]}"#).passed);
        let every = http(Some("$.a[*].rate"), None);
        assert_eq!(
            every.judge(200, br#"{"a": [{"rate": 1}, {"rate": 2}]}"#).observed,
            "$.a[*].rate leads to 2 values"
        );
    }

    #[test]
    fn every_value_of_a_query_has_to_keep_the_limit() {
        let errors = PrometheusProbe {
            url: "http://prometheus:9090".into(),
            query: "rate(errors[5m])".into(),
            above: None,
            below: Some(0.01),
        };
        let vector = |values: &[&str]| {
            let series: Vec<_> =
                values.iter().map(|v| format!(r#"{{"metric":{{"a":"b"}},"value":[1.5,"{v}"]}}"#)).collect();
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#,
                series.join(",")
            )
        };
        let judged = |body: &str| errors.judge(body.as_bytes());
        assert!(judged(&vector(&["0.001"])).unwrap().passed);
        let broken = judged(&vector(&["0.001", "0.5"])).unwrap();
        assert_eq!((broken.passed, broken.observed.as_str()), (false, "0.5; 1 of 2 values break it"));
        assert!(!judged(&vector(&["0.01"])).unwrap().passed, "the limit itself is not below it");
        assert!(judged(&vector(&[])).unwrap_err().contains("no series"));
        assert!(judged(&vector(&["NaN"])).unwrap_err().contains("not a number"));
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"+Inf"]}}"#;
        assert_eq!(judged(scalar).unwrap(), Verdict { passed: false, observed: "inf".into() });
        let failed = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        assert_eq!(judged(failed).unwrap_err(), "Prometheus says: parse error");
        assert!(judged("<html>").unwrap_err().contains("Prometheus' API"));
    }

    #[test]
    fn what_can_not_be_asked_is_refused_with_the_way_out() {
        let of =
            |url: &str| HttpProbe { url: url.into(), ..http(None, None) }.check().map_err(|e| e.to_string());
        assert_eq!(of("https://app.internal/health?deep=1"), Ok(()));
        assert!(of("app.internal/health").unwrap_err().contains("write http:// or https://"));
        assert!(of("ftp://app.internal").is_err());
        assert!(of("https://user:pw@app.internal").unwrap_err().contains("[http.headers]"));
        assert!(!of("https://user:hunter2@app.internal").unwrap_err().contains("hunter2"));
        assert!(http(Some("status"), None).check().unwrap_err().to_string().contains("is not a JSON path"));
        assert_eq!(http(None, Some(Expectation::Rows(1))).check(), Err(InvalidProbe::NoPath));
        assert_eq!(http(Some("$.a"), Some(Expectation::Rows(1))).check(), Err(InvalidProbe::Expectation));
    }
}
