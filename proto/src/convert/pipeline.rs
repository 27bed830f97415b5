//! Pipelines. What a pipeline file may not say, a message may not say either.

use std::collections::BTreeSet;
use std::time::Duration;

use stopover_model::pipeline::{
    ApprovalSettings, DiskPolicy, DriftPolicy, DriftSettings, LintSettings, LockSettings, OnFailure,
    OutOfOrder, Pipeline, SaveSettings, StageSpec, check_checklist,
};
use stopover_model::wave::FleetSettings;

use super::error::InvalidWire;
use super::field::{
    all_parsed, default_enumeration, duration, enumeration, message, messages, name, names,
    optional_duration, optional_parsed, or_default, parsed, plain,
};
use crate::v1;

wire_message!(StageSpec {
    environment: name,
    databases: names,
    soak: duration,
    backup: message,
    on_failure: enumeration,
    locks: message,
    backfill: or_default,
    lint: or_default,
    drift: or_default,
    no_sample: plain,
    disk: default_enumeration,
    rehearse: plain,
    allow_cluster_effects: plain,
    saving: or_default,
    approvals: approvals,
    checklist: checklist,
    hooks: messages,
    monitors: messages,
    calendar: or_default,
    baseline: or_default,
    fleet: fleet,
});

wire_message!(FleetSettings {
    select: optional_parsed,
    waves: all_parsed,
    max_parallel: plain,
    max_failures: parsed
});

wire_message!(ApprovalSettings { needed: plain, approvers: names });

wire_message!(SaveSettings { save: plain, within: save_within, keep_for: saved_for });

wire_message!(LockSettings {
    lock_timeout: lock_timeout,
    lock_retry_for: duration,
    concurrent_lock_timeout: lock_timeout,
    oldest_transaction: oldest_transaction,
    show_queries: plain,
});

wire_message!(LintSettings { allow: plain, warn: plain, refuse: plain });

wire_message!(DriftSettings { policy: default_enumeration, ignore: globs });

wire_enum!(DiskPolicy { Refuse, Warn, Allow });
wire_enum!(DriftPolicy { Refuse, Warn, Allow });
wire_enum!(OnFailure { Rollback, Pause });
wire_enum!(OutOfOrder { Refuse, Allow });

impl From<Pipeline> for v1::Pipeline {
    fn from(pipeline: Pipeline) -> Self {
        Self {
            name: name::write(pipeline.name),
            contacts: pipeline.contacts,
            stages: messages::write(pipeline.stages),
            out_of_order: enumeration::write(pipeline.out_of_order),
            lint: or_default::write(pipeline.lint),
            notify: messages::write(pipeline.notify),
        }
    }
}

impl TryFrom<v1::Pipeline> for Pipeline {
    type Error = InvalidWire;

    fn try_from(wire: v1::Pipeline) -> Result<Self, InvalidWire> {
        let pipeline = Self {
            name: name::read(wire.name, "name")?,
            contacts: plain::read(wire.contacts, "contacts")?,
            out_of_order: enumeration::read(wire.out_of_order, "out_of_order")?,
            lint: or_default::read(wire.lint, "lint")?,
            notify: messages::read(wire.notify, "notify")?,
            stages: messages::read(wire.stages, "stages")?,
        };
        if pipeline.stages.is_empty() {
            return Err(InvalidWire::new("stages", "is empty; a pipeline has at least one stage"));
        }
        let mut seen = BTreeSet::new();
        for (i, stage) in pipeline.stages.iter().enumerate() {
            if !seen.insert(&stage.environment) {
                let why = format!("{} has a stage already; it can have one", stage.environment);
                return Err(InvalidWire::new(format!("stages[{i}].environment"), why));
            }
        }
        Ok(pipeline)
    }
}

mod fleet {
    use super::{FleetSettings, InvalidWire, or_default, v1};

    pub(super) fn write(settings: FleetSettings) -> Option<v1::FleetSettings> {
        or_default::write(settings)
    }

    pub(super) fn read(wire: Option<v1::FleetSettings>, field: &str) -> Result<FleetSettings, InvalidWire> {
        let settings: FleetSettings = or_default::read(wire, field)?;
        settings.check().map_err(|why| InvalidWire::new(field, why))?;
        Ok(settings)
    }
}

mod approvals {
    use super::{ApprovalSettings, InvalidWire, or_default, v1};

    pub(super) fn write(settings: ApprovalSettings) -> Option<v1::ApprovalSettings> {
        or_default::write(settings)
    }

    pub(super) fn read(
        wire: Option<v1::ApprovalSettings>,
        field: &str,
    ) -> Result<ApprovalSettings, InvalidWire> {
        let settings: ApprovalSettings = or_default::read(wire, field)?;
        settings.check().map_err(|why| InvalidWire::new(field, why))?;
        Ok(settings)
    }
}

mod checklist {
    use super::{InvalidWire, check_checklist};

    pub(super) fn write(items: Vec<String>) -> Vec<String> {
        items
    }

    pub(super) fn read(wire: Vec<String>, field: &str) -> Result<Vec<String>, InvalidWire> {
        let checked = check_checklist(&wire);
        checked.map_err(|(place, why)| InvalidWire::new(format!("{field}[{place}]"), why))?;
        Ok(wire)
    }
}

/// To PostgreSQL a `lock_timeout` of nothing means to wait for ever.
mod lock_timeout {
    use super::{Duration, InvalidWire, LockSettings, duration};

    pub(super) fn write(timeout: Duration) -> Option<prost_types::Duration> {
        duration::write(timeout)
    }

    pub(super) fn read(wire: Option<prost_types::Duration>, field: &str) -> Result<Duration, InvalidWire> {
        let timeout = duration::read(wire, field)?;
        LockSettings::check_timeout(timeout).map_err(|why| InvalidWire::new(field, why))?;
        Ok(timeout)
    }
}

mod oldest_transaction {
    use super::{Duration, InvalidWire, LockSettings, duration};

    pub(super) fn write(oldest: Duration) -> Option<prost_types::Duration> {
        duration::write(oldest)
    }

    pub(super) fn read(wire: Option<prost_types::Duration>, field: &str) -> Result<Duration, InvalidWire> {
        let oldest = duration::read(wire, field)?;
        LockSettings::check_oldest(oldest).map_err(|why| InvalidWire::new(field, why))?;
        Ok(oldest)
    }
}

/// A client that does not know of it sends none.
mod save_within {
    use super::{Duration, InvalidWire, SaveSettings, duration};

    pub(super) fn write(within: Duration) -> Option<prost_types::Duration> {
        duration::write(within)
    }

    pub(super) fn read(wire: Option<prost_types::Duration>, field: &str) -> Result<Duration, InvalidWire> {
        let within = duration::read(wire, field)?;
        SaveSettings::check_within(within).map_err(|why| InvalidWire::new(field, why))?;
        Ok(within)
    }
}

mod saved_for {
    use super::{Duration, InvalidWire, SaveSettings, optional_duration};

    pub(super) fn write(keep_for: Option<Duration>) -> Option<prost_types::Duration> {
        optional_duration::write(keep_for)
    }

    pub(super) fn read(
        wire: Option<prost_types::Duration>,
        field: &str,
    ) -> Result<Option<Duration>, InvalidWire> {
        let keep_for = optional_duration::read(wire, field)?;
        keep_for.map_or(Ok(()), SaveSettings::check_keep_for).map_err(|why| InvalidWire::new(field, why))?;
        Ok(keep_for)
    }
}

mod globs {
    use stopover_model::drift::ObjectGlob;

    use super::InvalidWire;

    pub(super) fn write(globs: Vec<ObjectGlob>) -> Vec<String> {
        globs.into_iter().map(String::from).collect()
    }

    pub(super) fn read(wire: Vec<String>, field: &str) -> Result<Vec<ObjectGlob>, InvalidWire> {
        let read = |(i, text): (usize, String)| {
            text.parse().map_err(|why: String| InvalidWire::new(format!("{field}[{i}]"), why))
        };
        wire.into_iter().enumerate().map(read).collect()
    }
}
