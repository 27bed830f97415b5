//! A stage's windows and freezes: `window`, `freeze`, `timezone`.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use crate::config::ConfigError;
use crate::window::{AtEnd, Calendar, Cron, Freeze, Window, Zone};

/// The keys as they stand in a stage.
pub(super) struct RawCalendar<'a> {
    pub(super) window: Option<&'a RawWindows>,
    pub(super) freeze: &'a [Spanned<String>],
    pub(super) timezone: Option<&'a Spanned<String>>,
}

/// One table, or several.
pub(super) struct RawWindows(Vec<RawWindow>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWindow {
    cron: Spanned<String>,
    #[serde(rename = "for")]
    length: Spanned<String>,
    timezone: Option<Spanned<String>>,
    at_end: Option<Spanned<String>>,
}

/// A longer one is rather a mistake in its unit.
const LONGEST: Duration = Duration::from_hours(366 * 24);

impl<'de> Deserialize<'de> for RawWindows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = RawWindows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table with cron, for, timezone and at_end, or several as [[stage.window]]")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawWindows, A::Error> {
                RawWindow::deserialize(MapAccessDeserializer::new(map)).map(|one| RawWindows(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<RawWindows, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(RawWindows)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl RawCalendar<'_> {
    pub(super) fn read(&self, file: &str, text: &str) -> Result<Calendar, ConfigError> {
        let place = Place { file, text };
        let windows = self.window.map_or(&[][..], |windows| &windows.0);
        if let Some(alone) = self.timezone.filter(|_| windows.is_empty() && self.freeze.is_empty()) {
            return Err(place.at(
                alone,
                "`timezone` says where the stage's windows and freezes are, and it has none; remove it",
            ));
        }
        let of_stage = self.timezone.map(|zone| place.zone(zone)).transpose()?;
        let default = of_stage.clone().unwrap_or_default();
        let windows = windows.iter().map(|raw| place.window(raw, &default)).collect::<Result<Vec<_>, _>>()?;
        let zone = match (of_stage, windows.split_first()) {
            (Some(zone), _) => zone,
            (None, Some((first, rest))) => {
                let one = rest.iter().all(|window| window.timezone == first.timezone);
                if let Some(freeze) = self.freeze.first().filter(|_| !one) {
                    let message = "the stage's windows are in several time zones, so that it is not known in which one its freezes are; add `timezone` to the stage";
                    return Err(place.at(freeze, message));
                }
                if one { first.timezone.clone() } else { default }
            }
            (None, None) => default,
        };
        let freeze = |raw: &Spanned<String>| {
            Freeze::parse(raw.get_ref(), &zone).map_err(|message| place.at(raw, message))
        };
        let freezes = self.freeze.iter().map(freeze).collect::<Result<_, _>>()?;
        Ok(Calendar { windows, freezes, zone })
    }

    /// Refuses a window that does not open within the next two years.
    pub(super) fn check(
        &self,
        calendar: &Calendar,
        now: Timestamp,
        file: &str,
        text: &str,
    ) -> Result<(), ConfigError> {
        let place = Place { file, text };
        let raw = self.window.map_or(&[][..], |windows| &windows.0);
        for (raw, window) in raw.iter().zip(&calendar.windows) {
            let alone = |freezes| Calendar { windows: vec![window.clone()], freezes, zone: Zone::default() };
            if alone(Vec::new()).next(now).is_none() {
                let message = format!(
                    "the window `{}` does not open within the next two years: no day of them is like that; correct its day and month",
                    window.cron
                );
                return Err(place.at(&raw.cron, message));
            }
            if alone(calendar.freezes.clone()).next(now).is_none() {
                let message = format!(
                    "the window `{}` does not open within the next two years: whenever it would, there is a freeze; shorten the freeze",
                    window.cron
                );
                return Err(place.at(&raw.cron, message));
            }
        }
        if calendar.next(now).is_none()
            && let Some(freeze) = self.freeze.first()
        {
            return Err(place.at(
                freeze,
                "nothing can begin within the next two years: they are frozen; shorten the freeze",
            ));
        }
        Ok(())
    }
}

struct Place<'a> {
    file: &'a str,
    text: &'a str,
}

impl Place<'_> {
    fn at(&self, value: &Spanned<String>, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.file, self.text, Some(value.span()), message)
    }

    fn zone(&self, raw: &Spanned<String>) -> Result<Zone, ConfigError> {
        raw.get_ref().parse().map_err(|error: crate::window::NoZone| self.at(raw, error.to_string()))
    }

    fn window(&self, raw: &RawWindow, default: &Zone) -> Result<Window, ConfigError> {
        let cron: Cron = raw
            .cron
            .get_ref()
            .parse()
            .map_err(|error: crate::window::NoCron| self.at(&raw.cron, error.to_string()))?;
        let length = crate::duration::parse(raw.length.get_ref()).map_err(|m| self.at(&raw.length, m))?;
        if length < Duration::from_secs(1) || length > LONGEST {
            let message = "a window is open for a second at least, and for a year at most";
            return Err(self.at(&raw.length, message));
        }
        let at_end = match raw.at_end.as_ref().map(|v| (v.get_ref().as_str(), v)) {
            None | Some(("pause", _)) => AtEnd::Pause,
            Some(("go on", _)) => AtEnd::GoOn,
            Some((other, value)) => {
                let message = format!(
                    "unknown at_end `{}`; use \"pause\", so that backfills go on in the next window, or \"go on\"",
                    other.escape_debug()
                );
                return Err(self.at(value, message));
            }
        };
        let timezone = raw.timezone.as_ref().map(|zone| self.zone(zone)).transpose()?;
        Ok(Window { cron, length, timezone: timezone.unwrap_or_else(|| default.clone()), at_end })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pipeline, StageSpec};
    use super::*;

    fn pipeline(lines: &str) -> (String, Result<Pipeline, String>) {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n{lines}\n");
        let parsed = Pipeline::parse("pipeline.toml", &text).map_err(|e| e.to_string());
        (text, parsed)
    }

    fn calendar(lines: &str) -> Result<Calendar, String> {
        pipeline(lines).1.map(|p| p.stages[0].calendar.clone())
    }

    fn check(lines: &str, now: &str) -> Result<(), String> {
        let (text, pipeline) = pipeline(lines);
        let checked = pipeline.unwrap().check_windows("pipeline.toml", &text, now.parse().unwrap());
        checked.map_err(|e| e.to_string())
    }

    #[test]
    fn one_window_and_several_are_read() {
        assert_eq!(calendar(""), Ok(Calendar::default()));
        let one = "window = { cron = \"0 2 * * 1-5\", for = \"30m\", timezone = \"Europe/Paris\" }";
        let one = calendar(one).unwrap();
        assert_eq!((one.windows.len(), one.zone.to_string().as_str()), (1, "Europe/Paris"));
        let several = calendar(
            "timezone = \"Europe/Paris\"\nfreeze = [\"2026-12-20/2027-01-04\"]\n\
             [[stage.window]]\ncron = \"0 2 * * 1-5\"\nfor = \"30m\"\n\
             [[stage.window]]\ncron = \"0 2 * * 6\"\nfor = \"4h\"\ntimezone = \"UTC\"\nat_end = \"go on\"",
        )
        .unwrap();
        let zones: Vec<_> = several.windows.iter().map(|w| w.timezone.to_string()).collect();
        assert_eq!(zones, ["Europe/Paris", "UTC"]);
        assert_eq!(several.windows[1].at_end, AtEnd::GoOn);
        assert_eq!(several.freezes[0].until, "2027-01-04T23:00:00Z".parse().unwrap());
    }

    #[test]
    fn what_is_wrong_is_shown_in_its_place() {
        for (lines, expected) in [
            (
                "window = { cron = \"0 25 * * *\", for = \"1h\" }",
                "pipeline.toml:4:19: `0 25 * * *` is no cron",
            ),
            ("window = { cron = \"0 2 * * *\" }", "missing field `for`"),
            ("window = { cron = \"0 2 * * *\", for = \"30\" }", "pipeline.toml:4:38: `30` is not a duration"),
            ("window = { cron = \"0 2 * * *\", for = \"0s\" }", "is open for a second at least"),
            (
                "window = { cron = \"0 2 * * *\", for = \"1h\", timezone = \"Paris\" }",
                "pipeline.toml:4:55: there is no time zone `Paris`",
            ),
            (
                "[[stage.window]]\ncron = \"0 2 * * *\"\nfor = \"1h\"\nat_end = \"stop\"",
                "unknown at_end `stop`",
            ),
            ("window = { corn = \"0 2 * * *\", for = \"1h\" }", "did you mean `cron`?"),
            ("window = \"0 2 * * *\"", "expected a table with cron, for, timezone and at_end"),
            ("timezone = \"UTC\"", "pipeline.toml:4:12: `timezone` says where"),
            ("freeze = [\"Christmas\"]", "pipeline.toml:4:11: `Christmas` is no freeze; write its first"),
            ("freeze = [\"2027-01-04/2026-12-20\"]", "ends before it begins"),
            (
                "freeze = [\"2026-12-20/2027-01-04\"]\n[[stage.window]]\ncron = \"0 2 * * *\"\nfor = \"1h\"\n\
                 [[stage.window]]\ncron = \"0 3 * * *\"\nfor = \"1h\"\ntimezone = \"Europe/Paris\"",
                "pipeline.toml:4:11: the stage's windows are in several time zones",
            ),
        ] {
            let error = calendar(lines).unwrap_err();
            assert!(error.contains(expected), "{lines} gave {error}");
        }
    }

    #[test]
    fn a_window_that_never_opens_is_refused_with_its_line() {
        let window = |cron: &str| format!("window = {{ cron = \"{cron}\", for = \"1h\" }}");
        let error = check(&window("0 2 31 2 *"), "2026-11-23T00:00:00Z").unwrap_err();
        assert!(
            error
                .starts_with("pipeline.toml:4:19: the window `0 2 31 2 *` does not open within the next two"),
            "{error}"
        );
        let frozen = format!("{}\nfreeze = [\"2026-11-01/2029-01-01\"]", window("0 2 * * *"));
        let error = check(&frozen, "2026-11-23T00:00:00Z").unwrap_err();
        assert!(error.contains("pipeline.toml:4:19") && error.contains("there is a freeze"), "{error}");
        check(&frozen, "2028-01-01T00:00:00Z").unwrap();
        let error = check("freeze = [\"2026-11-01/2029-01-01\"]", "2026-11-23T00:00:00Z").unwrap_err();
        assert!(error.contains("pipeline.toml:4:11: nothing can begin within"), "{error}");
    }

    #[test]
    fn a_log_from_before_the_keys_stays_what_it_was() {
        let stage = |lines: &str| pipeline(lines).1.unwrap().stages.remove(0);
        let json = serde_json::to_value(stage("")).unwrap();
        assert!(json.get("calendar").is_none(), "{json}");
        let set =
            stage("window = { cron = \"0 2 * * *\", for = \"1h\" }\nfreeze = [\"2026-12-20/2027-01-04\"]");
        let json = serde_json::to_value(&set).unwrap();
        assert_eq!(serde_json::from_value::<StageSpec>(json).unwrap(), set);
    }
}
