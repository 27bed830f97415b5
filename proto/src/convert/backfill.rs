//! How fast backfills may go, and what holds them.

use stopover_model::backfill::{Brakes, Canary, Throttle};
use stopover_model::pipeline::{BackfillSettings, VacuumAfter};

use super::error::InvalidWire;
use super::field::{duration, optional_duration, optional_message, or_default, plain};
use crate::v1;

wire_message!(BackfillSettings { throttle: or_default, brakes: or_default, vacuum: vacuum_after });

/// Percent; nothing where it is left to autovacuum.
mod vacuum_after {
    use super::{InvalidWire, VacuumAfter};

    pub(super) fn write(vacuum: VacuumAfter) -> Option<u32> {
        match vacuum {
            VacuumAfter::Off => None,
            VacuumAfter::Percent(percent) => Some(percent),
        }
    }

    pub(super) fn read(percent: Option<u32>, field: &str) -> Result<VacuumAfter, InvalidWire> {
        match percent {
            None => Ok(VacuumAfter::Off),
            Some(percent @ 1..=100) => Ok(VacuumAfter::Percent(percent)),
            Some(other) => Err(InvalidWire::new(field, format!("is {other}; a share is from 1 to 100"))),
        }
    }
}

wire_message!(Throttle {
    batch_time: optional_duration,
    max_rate: rate,
    pause: optional_duration,
    paused: plain,
});

wire_message!(Brakes {
    replica_behind: plain,
    archive_behind: plain,
    wal_rate: plain,
    lock_waiters: plain,
    oldest_transaction: optional_duration,
    autovacuum: plain,
    canary: optional_message,
});

impl From<Canary> for v1::brakes::Canary {
    fn from(canary: Canary) -> Self {
        Self { sql: canary.sql, p99: duration::write(canary.p99) }
    }
}

impl TryFrom<v1::brakes::Canary> for Canary {
    type Error = InvalidWire;

    fn try_from(wire: v1::brakes::Canary) -> Result<Self, InvalidWire> {
        Ok(Self { sql: wire.sql, p99: duration::read(wire.p99, "p99")? })
    }
}

/// Rows a second: of none a backfill would never end.
mod rate {
    use super::InvalidWire;

    pub(super) fn write(rate: Option<u32>) -> Option<u32> {
        rate
    }

    pub(super) fn read(rate: Option<u32>, field: &str) -> Result<Option<u32>, InvalidWire> {
        match rate {
            Some(0) => Err(InvalidWire::new(field, "is 0; a backfill would never end")),
            rate => Ok(rate),
        }
    }
}
