//! Follow-ups: whose they are, and how they stand.

use stopover_model::follow_up::{FollowUpKey, FollowUpState, Scheduled};

use super::field::{duration, enumeration, name, plain, timestamp};
use crate::v1;

wire_message!(FollowUpKey {
    deployment: name,
    environment: name,
    database: name,
    migration: name,
    name: plain
});
