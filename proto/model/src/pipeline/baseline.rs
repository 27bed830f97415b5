//! `[stage.baseline]`: what makes a soak fail that no monitor asks for.

use serde::Deserialize;
use toml::Spanned;

use crate::baseline::{BaselineLimits, Factor};
use crate::config::ConfigError;

/// The table as it is written: `seq_scans = "3x"`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBaseline {
    seq_scans: Option<Spanned<String>>,
    mean_time: Option<Spanned<String>>,
    dead_rows: Option<Spanned<String>>,
    size: Option<Spanned<String>>,
    connections: Option<Spanned<String>>,
    deadlocks: Option<Spanned<String>>,
    temp_bytes: Option<Spanned<String>>,
}

pub(super) fn read(
    raw: Option<Spanned<RawBaseline>>,
    soaks: bool,
    file: &str,
    text: &str,
) -> Result<BaselineLimits, ConfigError> {
    let Some(raw) = raw else { return Ok(BaselineLimits::default()) };
    if !soaks {
        let message =
            "limits are about what is counted in a soak, and this stage has none; add soak = \"24h\"";
        return Err(ConfigError::at(file, text, Some(raw.span()), message));
    }
    let factor = |value: Option<Spanned<String>>| {
        let read = |value: Spanned<String>| {
            let parsed = value.get_ref().parse::<Factor>();
            parsed.map_err(|error| ConfigError::at(file, text, Some(value.span()), error.to_string()))
        };
        value.map(read).transpose()
    };
    let raw = raw.into_inner();
    Ok(BaselineLimits {
        seq_scans: factor(raw.seq_scans)?,
        mean_time: factor(raw.mean_time)?,
        dead_rows: factor(raw.dead_rows)?,
        size: factor(raw.size)?,
        connections: factor(raw.connections)?,
        deadlocks: factor(raw.deadlocks)?,
        temp_bytes: factor(raw.temp_bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use crate::pipeline::{Pipeline, StageSpec};

    fn stage(lines: &str) -> Result<StageSpec, String> {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n{lines}\n");
        Pipeline::parse("pipeline.toml", &text).map(|mut p| p.stages.remove(0)).map_err(|e| e.to_string())
    }

    #[test]
    fn limits_are_read_and_what_is_none_is_refused_in_its_place() {
        let limits =
            stage("soak = \"1h\"\n[stage.baseline]\nseq_scans = \"3x\"\nmean_time = \"1.5x\"").unwrap();
        assert_eq!(limits.baseline.seq_scans.map(|f| f.to_string()).as_deref(), Some("3x"));
        assert!(limits.baseline.dead_rows.is_none());
        for (lines, expected) in [
            ("[stage.baseline]\nsize = \"2x\"", "this stage has none; add soak"),
            ("soak = \"1h\"\n[stage.baseline]\nsize = \"2\"", "pipeline.toml:6:8: `2` is not how many times"),
            ("soak = \"1h\"\n[stage.baseline]\nsize = \"0.5x\"", "write a number from 1 to 1000 and an x"),
            ("soak = \"1h\"\n[stage.baseline]\nsize = \"NaNx\"", "is not how many times"),
            ("soak = \"1h\"\n[stage.baseline]\nseq_scan = \"2x\"", "did you mean `seq_scans`?"),
        ] {
            let error = stage(lines).unwrap_err();
            assert!(error.contains(expected), "{lines} gave {error}");
        }
    }

    #[test]
    fn a_stage_from_an_older_log_reads_as_it_did() {
        let json = serde_json::to_value(stage("").unwrap()).unwrap();
        assert!(json.get("baseline").is_none(), "{json}");
        let limited = stage("soak = \"1h\"\n[stage.baseline]\ntemp_bytes = \"10x\"").unwrap();
        let json = serde_json::to_value(&limited).unwrap();
        assert_eq!(serde_json::from_value::<StageSpec>(json).unwrap(), limited);
    }
}
