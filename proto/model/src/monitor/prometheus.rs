//! The answer of Prometheus' HTTP API to an instant query.

use serde::Deserialize;

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar((f64, String)),
    Vector(Vec<Series>),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Series {
    value: (f64, String),
}

/// Reads `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1.5,"0.2"]}]}}`. The error says
/// why there is no value; what comes from Prometheus in it is for the caller to escape.
pub(super) fn samples(body: &[u8]) -> Result<Vec<f64>, String> {
    let answer: Answer =
        serde_json::from_slice(body).map_err(|_| "the answer is not that of Prometheus' API".to_owned())?;
    if answer.status != "success" {
        return Err(format!("Prometheus says: {}", answer.error.unwrap_or_else(|| "an error".to_owned())));
    }
    let value = |text: &str| match text.parse::<f64>() {
        Ok(value) if !value.is_nan() => Ok(value),
        _ => Err("the value is not a number: there was nothing to divide by, say".to_owned()),
    };
    match answer.data {
        Some(Data::Scalar((_, text))) => Ok(vec![value(&text)?]),
        Some(Data::Vector(series)) if series.is_empty() => {
            Err("the query answers nothing: no series has its name and labels".to_owned())
        }
        Some(Data::Vector(series)) => series.iter().map(|s| value(&s.value.1)).collect(),
        Some(Data::Matrix(_)) => {
            Err("the query answers ranges, not values: put a function around it, rate() say".to_owned())
        }
        Some(Data::String(_)) | None => Err("the query answers no number".to_owned()),
    }
}
