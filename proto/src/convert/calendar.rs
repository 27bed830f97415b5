//! When a stage's migrations may begin.

use stopover_model::window::{AtEnd, Calendar, Freeze, Window};

use super::error::InvalidWire;
use super::field::{enumeration, messages, plain, timestamp};
use crate::v1;

wire_message!(Calendar { windows: messages, freezes: messages, zone: zone });

wire_message!(Window { cron: cron, length: length, timezone: zone, at_end: enumeration });

wire_message!(Freeze { text: plain, from: timestamp, until: timestamp });

wire_enum!(AtEnd { Pause, GoOn });

/// As in a pipeline's file.
mod length {
    use std::time::Duration;

    use super::InvalidWire;
    use crate::convert::field::duration;

    pub(super) fn write(length: Duration) -> Option<prost_types::Duration> {
        duration::write(length)
    }

    pub(super) fn read(wire: Option<prost_types::Duration>, field: &str) -> Result<Duration, InvalidWire> {
        let length = duration::read(wire, field)?;
        if length < Duration::from_secs(1) {
            return Err(InvalidWire::new(field, "is less than a second"));
        }
        Ok(length)
    }
}

mod cron {
    use stopover_model::window::{Cron, NoCron};

    use super::InvalidWire;

    pub(super) fn write(cron: Cron) -> String {
        cron.into()
    }

    pub(super) fn read(text: String, field: &str) -> Result<Cron, InvalidWire> {
        Cron::try_from(text).map_err(|error: NoCron| InvalidWire::new(field, error.to_string()))
    }
}

mod zone {
    use stopover_model::window::{NoZone, Zone};

    use super::InvalidWire;

    pub(super) fn write(zone: Zone) -> String {
        zone.into()
    }

    pub(super) fn read(name: String, field: &str) -> Result<Zone, InvalidWire> {
        Zone::try_from(name).map_err(|error: NoZone| InvalidWire::new(field, error.to_string()))
    }
}
