//! A stage's monitors. What a pipeline file may not say, a message may not say either.

use stopover_model::monitor::{HttpProbe, Probe, PrometheusProbe, Question, StageMonitor};

use super::error::InvalidWire;
use super::field::{direct, duration, message, optional_message, optional_text, plain};
use crate::v1;

wire_message!(StageMonitor { every: interval, patience: duration, silence_fails: plain, probe: message });
wire_message!(Probe { name: plain, question: message });

wire_choice!(Question, question {
    "sql" Sql { sql: plain, expect: message },
    "http" Http(direct),
    "prometheus" Prometheus(direct),
});

impl From<HttpProbe> for v1::HttpProbe {
    fn from(probe: HttpProbe) -> Self {
        Self {
            url: probe.url,
            status: probe.status.into(),
            json: optional_text::write(probe.json),
            expect: optional_message::write(probe.expect),
        }
    }
}

impl TryFrom<v1::HttpProbe> for HttpProbe {
    type Error = InvalidWire;

    fn try_from(wire: v1::HttpProbe) -> Result<Self, InvalidWire> {
        let status = u16::try_from(wire.status);
        let probe = Self {
            url: wire.url,
            status: status.map_err(|_| InvalidWire::new("status", "is not a status of HTTP"))?,
            json: optional_text::read(wire.json, "json")?,
            expect: optional_message::read(wire.expect, "expect")?,
        };
        probe.check().map_err(|e| InvalidWire::new("", e.to_string()))?;
        Ok(probe)
    }
}

impl From<PrometheusProbe> for v1::PrometheusProbe {
    fn from(probe: PrometheusProbe) -> Self {
        Self { url: probe.url, query: probe.query, above: probe.above, below: probe.below }
    }
}

impl TryFrom<v1::PrometheusProbe> for PrometheusProbe {
    type Error = InvalidWire;

    fn try_from(wire: v1::PrometheusProbe) -> Result<Self, InvalidWire> {
        let probe = Self { url: wire.url, query: wire.query, above: wire.above, below: wire.below };
        probe.check().map_err(|e| InvalidWire::new("", e.to_string()))?;
        Ok(probe)
    }
}

/// Of a monitor that would run without a pause between two runs there would be nothing but monitoring.
mod interval {
    use std::time::Duration;

    use super::{InvalidWire, duration};

    pub(super) fn write(every: Duration) -> Option<prost_types::Duration> {
        duration::write(every)
    }

    pub(super) fn read(wire: Option<prost_types::Duration>, field: &str) -> Result<Duration, InvalidWire> {
        let every = duration::read(wire, field)?;
        if every < Duration::from_secs(1) {
            return Err(InvalidWire::new(field, "is less than a second"));
        }
        Ok(every)
    }
}
