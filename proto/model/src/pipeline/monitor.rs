//! A stage's own monitors.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::Spanned;

use super::choice;
use crate::config::ConfigError;
use crate::migration::raw::{expectation_of, name, query, rhythm};
use crate::migration::{Expectation, Scalar};
use crate::monitor::{HttpProbe, InvalidProbe, Probe, PrometheusProbe, Question, StageMonitor};

/// `[[stage.monitor]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMonitor {
    name: Spanned<String>,
    every: Spanned<String>,
    #[serde(rename = "for")]
    patience: Option<Spanned<String>>,
    unanswered: Option<Spanned<String>>,
    http: Option<Spanned<RawHttp>>,
    prometheus: Option<Spanned<RawPrometheus>>,
    sql: Option<String>,
    expect: Option<Scalar>,
    expect_rows: Option<u64>,
    expect_min: Option<f64>,
    expect_max: Option<f64>,
    row: Option<BTreeMap<String, Scalar>>,
    uses_index: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    url: String,
    status: Option<u16>,
    json: Option<String>,
    expect: Option<Scalar>,
    expect_min: Option<f64>,
    expect_max: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrometheus {
    url: String,
    query: String,
    above: Option<f64>,
    below: Option<f64>,
}

/// Reads a stage's monitors; `soaks`: whether it has a soak for them to run in.
pub(super) fn read(
    monitors: Vec<Spanned<RawMonitor>>,
    soaks: bool,
    file: &str,
    text: &str,
) -> Result<Vec<StageMonitor>, ConfigError> {
    let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
    if let Some(first) = monitors.first().filter(|_| !soaks) {
        let message = "the stage has no soak for a monitor to run in: add soak = \"24h\", say";
        return Err(at(first.get_ref().name.span(), message.to_owned()));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = monitors.iter().find(|m| !seen.insert(m.get_ref().name.get_ref().trim().to_owned()))
    {
        let twice = &twice.get_ref().name;
        let message = format!("two monitors have the name \"{}\"; give each its own", twice.get_ref());
        return Err(at(twice.span(), message));
    }
    monitors.into_iter().map(|m| m.into_inner().read(file, text)).collect()
}

impl RawMonitor {
    fn read(mut self, file: &str, text: &str) -> Result<StageMonitor, ConfigError> {
        let at = |span, message: String| ConfigError::at(file, text, Some(span), message);
        let (every, patience) = rhythm(file, text, &self.every, self.patience.as_ref())?;
        let words = [("hold", false), ("fail", true)];
        let silence_fails = choice::read("unanswered", self.unanswered.as_ref(), &words, file, text)?;
        let silence_fails = silence_fails.unwrap_or(false);
        let checked = name(file, text, &self.name)?;
        let (http, prometheus, sql) = (self.http.take(), self.prometheus.take(), self.sql.take());
        let name = self.name.clone();
        let expect = expectation_of!(self).optional(file, text, &name)?;
        if let (Some(_), None) = (&expect, &sql) {
            let message = format!(
                "what \"{checked}\" expects stands in its own table: http = {{ url = ..., expect = ... }}"
            );
            return Err(at(name.span(), message));
        }
        let question = match (sql, http, prometheus) {
            (Some(sql), None, None) => {
                let sql = query(file, text, &name, sql)?;
                let missing = || {
                    let message =
                        format!("\"{checked}\" says nothing about what is expected: add expect = 0, say");
                    at(name.span(), message)
                };
                Question::Sql { sql, expect: expect.ok_or_else(missing)? }
            }
            (None, Some(http), None) => {
                let span = http.span();
                Question::Http(http.into_inner().read().map_err(|why| at(span, why))?)
            }
            (None, None, Some(asked)) => {
                let span = asked.span();
                let RawPrometheus { url, query, above, below } = asked.into_inner();
                let probe = PrometheusProbe { url, query, above, below };
                probe.check().map_err(|e| at(span, e.to_string()))?;
                Question::Prometheus(probe)
            }
            _ => {
                let message = format!("\"{checked}\" asks one of three: sql, http or prometheus");
                return Err(at(name.span(), message));
            }
        };
        Ok(StageMonitor { every, patience, silence_fails, probe: Probe { name: checked, question } })
    }
}

impl RawHttp {
    fn read(self) -> Result<HttpProbe, String> {
        let between = (self.expect_min.is_some() || self.expect_max.is_some())
            .then_some(Expectation::Between { min: self.expect_min, max: self.expect_max });
        let expect = match (self.expect.map(Expectation::Value), between) {
            (Some(_), Some(_)) => return Err("keep one of expect, expect_min and expect_max".to_owned()),
            (one, other) => one.or(other),
        };
        let probe = HttpProbe { url: self.url, status: self.status.unwrap_or(200), json: self.json, expect };
        probe.check().map_err(|e: InvalidProbe| e.to_string())?;
        Ok(probe)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pipeline::Pipeline;

    fn parse(stage: &str) -> Result<Pipeline, String> {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n{stage}\n");
        Pipeline::parse("pipeline.toml", &text).map_err(|e| e.to_string())
    }

    fn monitor(lines: &str) -> Result<StageMonitor, String> {
        let text = format!("soak = \"1h\"\n[[stage.monitor]]\nname = \"m\"\n{lines}");
        parse(&text).map(|mut p| p.stages.remove(0).monitors.remove(0))
    }

    #[test]
    fn each_kind_of_question_is_read() {
        let sql = monitor("every = \"10m\"\nfor = \"5m\"\nsql = \"SELECT 0\"\nexpect = 0").unwrap();
        assert_eq!((sql.every, sql.patience), (Duration::from_mins(10), Duration::from_mins(5)));
        assert!(sql.probe.asks_databases() && !sql.silence_fails);
        let http = monitor(
            "every = \"1m\"\nunanswered = \"fail\"\nhttp = { url = \"https://a/health\", json = \"$.ok\", expect = true }",
        )
        .unwrap();
        assert_eq!(http.probe.question.to_string(), "status 200, $.ok: true");
        assert!(http.silence_fails && !http.probe.asks_databases());
        let prometheus =
            monitor("every = \"1m\"\nprometheus = { url = \"http://p:9090\", query = \"up\", above = 0 }");
        // TOML tells 0 from 0.0, and people don't.
        assert_eq!(prometheus.unwrap().probe.question.to_string(), "above 0");
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_stands() {
        for (lines, expected) in [
            ("every = \"1m\"", "asks one of three: sql, http or prometheus"),
            (
                "every = \"1m\"\nsql = \"SELECT 1\"",
                "pipeline.toml:6:8: \"m\" says nothing about what is expected",
            ),
            ("every = \"1m\"\nsql = \"SELECT 1; SELECT 2\"\nexpect = 1", "holds 2 statements"),
            (
                "every = \"1m\"\nhttp = { url = \"a/health\" }",
                "pipeline.toml:8:8: `a/health` is not an address",
            ),
            ("every = \"1m\"\nexpect = 1\nhttp = { url = \"https://a\" }", "stands in its own table"),
            ("every = \"1m\"\nhttp = { url = \"https://a\", stauts = 200 }", "did you mean `status`?"),
            ("every = \"1m\"\nhttp = { url = \"https://a\", json = \"x\" }", "is not a JSON path"),
            (
                "every = \"1m\"\nprometheus = { url = \"https://a\", query = \"up\" }",
                "add `below` or `above`",
            ),
            ("every = \"10ms\"\nsql = \"SELECT 1\"\nexpect = 1", "at most once a second"),
            ("every = \"1m\"\nfor = \"long\"\nsql = \"SELECT 1\"\nexpect = 1", "pipeline.toml:8:7: `long`"),
            (
                "every = \"1m\"\nunanswered = \"no\"\nsql = \"SELECT 1\"\nexpect = 1",
                "use \"hold\" or \"fail\"",
            ),
            ("evry = \"1m\"", "did you mean `every`?"),
        ] {
            let error = monitor(lines).unwrap_err();
            assert!(error.contains(expected), "{lines} gave {error}");
        }
        let one = "[[stage.monitor]]\nname = \"m\"\nevery = \"1m\"\nsql = \"SELECT 1\"\nexpect = 1\n";
        assert!(parse(one).unwrap_err().contains("has no soak for a monitor to run in"));
        let twice = parse(&format!("soak = \"1h\"\n{one}{one}")).unwrap_err();
        assert!(twice.contains("two monitors have the name \"m\""), "{twice}");
    }

    #[test]
    fn a_stage_from_an_older_log_has_none_and_its_digest_is_the_same() {
        let pipeline = parse("").unwrap();
        let json = serde_json::to_value(&pipeline).unwrap();
        assert!(json["stages"][0].get("monitors").is_none(), "{json}");
        let with = parse(
            "soak = \"1h\"\n[[stage.monitor]]\nname = \"m\"\nevery = \"1m\"\nhttp = { url = \"https://a\" }",
        );
        let with = with.unwrap();
        let json = serde_json::to_value(&with).unwrap();
        assert_eq!(serde_json::from_value::<Pipeline>(json).unwrap(), with);
    }
}
