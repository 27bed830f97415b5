//! A stage's hooks. What a pipeline file may not say, a message may not say either.

use std::time::Duration;

use stopover_model::pipeline::{Hook, HookStep, HookWay, HookWhen, check_timeout, check_url};

use super::error::InvalidWire;
use super::field::{enumeration, message, name, optional_enumeration};
use crate::v1;

wire_message!(Hook {
    name: name,
    when: enumeration,
    step: optional_enumeration,
    way: message,
    timeout: timeout
});

wire_enum!(HookWhen { Before, After });

wire_enum!(HookStep { Inspect, Backup, Rehearse, Migrate, Verify, Soak });

impl From<HookWay> for v1::HookWay {
    fn from(way: HookWay) -> Self {
        use v1::hook_way::{Kind, Webhook};
        let kind = match way {
            HookWay::Webhook { url, secret } => Kind::Webhook(Webhook { url, secret: name::write(secret) }),
            HookWay::External => Kind::External(true),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::HookWay> for HookWay {
    type Error = InvalidWire;

    fn try_from(wire: v1::HookWay) -> Result<Self, InvalidWire> {
        use v1::hook_way::Kind;
        match wire.kind.ok_or_else(|| InvalidWire::missing("kind"))? {
            Kind::Webhook(webhook) => {
                check_url(&webhook.url).map_err(|why| InvalidWire::new("webhook.url", why))?;
                Ok(Self::Webhook { url: webhook.url, secret: name::read(webhook.secret, "webhook.secret")? })
            }
            Kind::External(true) => Ok(Self::External),
            Kind::External(false) => Err(InvalidWire::new("external", "is false; it is always true")),
        }
    }
}

/// One that a pipeline file may have.
mod timeout {
    use super::super::field::duration;
    use super::{Duration, InvalidWire, check_timeout};

    pub(super) use super::super::field::duration::write;

    pub(super) fn read(wire: Option<prost_types::Duration>, field: &str) -> Result<Duration, InvalidWire> {
        let timeout = duration::read(wire, field)?;
        check_timeout(timeout).map_err(|why| InvalidWire::new(field, why))?;
        Ok(timeout)
    }
}
