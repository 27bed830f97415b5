//! Who is told of a pipeline's deployments. What a pipeline file may not say, a message may not say either.

use std::collections::BTreeSet;

use stopover_model::notice::NotificationState;
use stopover_model::pipeline::{NoticeKind, Notify, NotifyTarget, check_address, check_url};

use super::error::InvalidWire;
use super::field::{enumeration, message, name};
use crate::v1;

wire_message!(Notify { to: message, events: kinds });

wire_enum!(NoticeKind {
    Started,
    StageSucceeded,
    Waiting,
    Failed,
    Paused,
    Resumed,
    Cancelled,
    RolledBack,
    Succeeded,
    FollowUpFailed,
});

wire_enum!(NotificationState { Waiting, Delivered, GivenUp });

/// A set; nobody is told of nothing.
mod kinds {
    use super::{BTreeSet, InvalidWire, NoticeKind, enumeration};

    pub(super) fn write(kinds: BTreeSet<NoticeKind>) -> Vec<i32> {
        kinds.into_iter().map(enumeration::write).collect()
    }

    pub(super) fn read(wire: Vec<i32>, field: &str) -> Result<BTreeSet<NoticeKind>, InvalidWire> {
        if wire.is_empty() {
            return Err(InvalidWire::new(field, "is empty; nobody would be told of anything"));
        }
        wire.into_iter().map(|kind| enumeration::read(kind, field)).collect()
    }
}

impl From<NotifyTarget> for v1::NotifyTarget {
    fn from(target: NotifyTarget) -> Self {
        use v1::notify_target::{Email, Kind, Webhook};
        let kind = match target {
            NotifyTarget::Webhook { url, secret } => {
                Kind::Webhook(Webhook { url, secret: name::write(secret) })
            }
            NotifyTarget::Slack { secret } => Kind::Slack(name::write(secret)),
            NotifyTarget::Email { to } => Kind::Email(Email { to }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::NotifyTarget> for NotifyTarget {
    type Error = InvalidWire;

    fn try_from(wire: v1::NotifyTarget) -> Result<Self, InvalidWire> {
        use v1::notify_target::Kind;
        match wire.kind.ok_or_else(|| InvalidWire::missing("kind"))? {
            Kind::Webhook(webhook) => {
                check_url(&webhook.url).map_err(|why| InvalidWire::new("webhook.url", why))?;
                Ok(Self::Webhook { url: webhook.url, secret: name::read(webhook.secret, "webhook.secret")? })
            }
            Kind::Slack(secret) => Ok(Self::Slack { secret: name::read(secret, "slack")? }),
            Kind::Email(email) => {
                if email.to.is_empty() {
                    return Err(InvalidWire::new("email.to", "is empty; it names nobody"));
                }
                for address in &email.to {
                    check_address(address).map_err(|why| InvalidWire::new("email.to", why))?;
                }
                Ok(Self::Email { to: email.to })
            }
        }
    }
}
