//! Durations as people write them (`90s`, `24h`, `1d 12h`), for serde and for texts.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

/// For `#[serde(with = "crate::duration")]`.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&humantime::format_duration(*duration).to_string())
}

/// For `#[serde(with = "crate::duration")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(D::Error::custom)
}

/// Reads `90s`, `100ms`, `24h`, `1d 12h`.
pub fn parse(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text.trim())
        .map_err(|e| format!("`{text}` is not a duration ({e}): write a number and a unit, such as \"100ms\", \"30s\", \"10m\", \"24h\" or \"7d\""))
}

/// Short, for people: `85 ms`, `1.2 s`, `3m 05s`, `2h 10m`, `1d 4h`.
#[must_use]
pub fn human(duration: Duration) -> String {
    let ms = duration.as_millis();
    let s = duration.as_secs();
    match s {
        _ if ms < 1_000 => format!("{ms} ms"),
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{s} s"),
        60..3_600 => format!("{}m {:02}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {:02}m", s / 3_600, s % 3_600 / 60),
        _ => format!("{}d {}h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// For `#[serde(with = "crate::duration::optional")]`.
pub mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| super::parse(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_durations() {
        let shown: Vec<_> = [5, 999, 1_234, 59_900, 61_000, 7_260_000, 100_000_000]
            .map(|ms| human(Duration::from_millis(ms)))
            .into();
        assert_eq!(shown, ["5 ms", "999 ms", "1.2 s", "59 s", "1m 01s", "2h 01m", "1d 3h"]);
    }

    #[test]
    fn a_number_without_unit_is_refused_with_examples() {
        assert!(parse("10").unwrap_err().contains("write a number and a unit"));
        assert_eq!(parse("1d 12h"), Ok(Duration::from_hours(36)));
    }
}
