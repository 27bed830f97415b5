//! A stage's keys for many databases: `select`, `waves`, `max_parallel`, `max_failures`.

use std::ops::Range;

use toml::{Spanned, Value};

use crate::config::ConfigError;
use crate::wave::{FleetSettings, MaxFailures, Wave, check_waves};

/// The keys as they stand in a stage.
pub(super) struct RawFleet<'a> {
    pub(super) select: &'a Option<Spanned<String>>,
    pub(super) waves: &'a Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) max_parallel: &'a Option<Spanned<i64>>,
    pub(super) max_failures: &'a Option<Spanned<Value>>,
}

impl RawFleet<'_> {
    pub(super) fn read(&self, file: &str, text: &str) -> Result<FleetSettings, ConfigError> {
        let at = |span: Range<usize>, message: String| ConfigError::at(file, text, Some(span), message);
        let mut settings = FleetSettings::default();
        if let Some(select) = self.select {
            settings.select = Some(select.get_ref().parse().map_err(|why| at(select.span(), why))?);
        }
        if let Some(waves) = self.waves {
            settings.waves = read_waves(waves, &at)?;
        }
        if let Some(parallel) = self.max_parallel {
            // What is too large for it is refused with the rest.
            settings.max_parallel = u32::try_from(*parallel.get_ref()).unwrap_or(0);
            settings.check().map_err(|why| at(parallel.span(), why))?;
        }
        if let Some(failures) = self.max_failures {
            let read = match failures.get_ref() {
                Value::Integer(count) => count.to_string().parse::<MaxFailures>(),
                Value::String(text) if text.ends_with('%') => text.parse(),
                other => other.to_string().replace('"', "").parse().and_then(|_: MaxFailures| {
                    Err("`max_failures` is a number without quotes, or a percentage such as \"5%\""
                        .to_owned())
                }),
            };
            settings.max_failures = read.map_err(|why| at(failures.span(), why))?;
        }
        Ok(settings)
    }
}

fn read_waves(
    waves: &Spanned<Vec<Spanned<String>>>,
    at: &dyn Fn(Range<usize>, String) -> ConfigError,
) -> Result<Vec<Wave>, ConfigError> {
    let written = waves.get_ref();
    if written.is_empty() {
        let why = "`waves` is empty; leave it out, and all databases are one wave".to_owned();
        return Err(at(waves.span(), why));
    }
    let read = |wave: &Spanned<String>| wave.get_ref().parse::<Wave>().map_err(|why| at(wave.span(), why));
    let read = written.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    check_waves(&read).map_err(|(place, why)| at(written[place].span(), why))?;
    Ok(read)
}

#[cfg(test)]
mod tests {
    use crate::pipeline::StageSpec;
    use crate::pipeline::tests::parse_stage as parse;
    use crate::wave::MaxFailures;

    #[test]
    fn a_fleet_is_read() {
        let stage = parse(
            "select = \"region=eu\"\nwaves = [\"canary:1\", \"10%\", \"100%\"]\nmax_parallel = 200\nmax_failures = \"5%\"",
        );
        let fleet = stage.unwrap().fleet;
        assert_eq!(fleet.select.unwrap().to_string(), "region=eu");
        assert_eq!(
            fleet.waves.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["canary:1", "10%", "100%"]
        );
        assert_eq!((fleet.max_parallel, fleet.max_failures), (200, MaxFailures::Percent(5)));
        assert_eq!(parse("max_failures = 3").unwrap().fleet.max_failures, MaxFailures::Count(3));
    }

    #[test]
    fn what_is_none_is_shown_in_its_place() {
        for (lines, expected) in [
            ("waves = []", "pipeline.toml:4:9: `waves` is empty"),
            ("waves = [\"10%\"]", "pipeline.toml:4:10: some databases could be in no wave"),
            ("waves = [\"50%\", \"10%\", \"100%\"]", "pipeline.toml:4:17: the wave `10%` would be empty"),
            ("waves = [\"many\", \"100%\"]", "pipeline.toml:4:10: `many` is not a wave"),
            ("waves = \"100%\"", "expected a sequence"),
            ("max_parallel = 0", "pipeline.toml:4:16: `max_parallel` is from 1 to 1000"),
            ("max_parallel = -5", "`max_parallel` is from 1 to 1000"),
            ("max_parallel = 4294967297", "`max_parallel` is from 1 to 1000"),
            ("max_failures = -1", "pipeline.toml:4:16: `-1` is not a number of databases"),
            ("max_failures = \"3\"", "`max_failures` is a number without quotes"),
            ("max_failures = \"101%\"", "is not a number of databases"),
            ("max_failures = 1.5", "is not a number of databases"),
            ("select = \"eu\"", "pipeline.toml:4:10: `eu` selects nothing"),
            ("wave = [\"100%\"]", "unknown field `wave`"),
        ] {
            let error = parse(lines).unwrap_err();
            assert!(error.contains(expected), "{lines} gave {error}");
        }
    }

    #[test]
    fn a_stage_from_an_older_log_reads_as_it_did() {
        let json = serde_json::to_value(parse("").unwrap()).unwrap();
        assert!(json.get("fleet").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<StageSpec>(json).unwrap(), parse("max_parallel = 1").unwrap());
    }
}
