//! What differs from the schema as it was last known.

use stopover_model::drift::{Comparison, Drift, DriftedObject, ObjectChange, SchemaLook};

use super::field::{
    digest, direct, enumeration, message, messages, name, optional_name, optional_text, plain, timestamp,
};
use crate::v1;

wire_message!(Drift {
    since: timestamp,
    deployment: name,
    migration: optional_name,
    origin: optional_text,
    objects: messages,
    more: plain,
    partitions: plain,
});

wire_message!(DriftedObject {
    kind: plain,
    name: plain,
    table: optional_text,
    change: enumeration,
    details: plain,
});

wire_enum!(ObjectChange { Added, Removed, Changed });

wire_message!(SchemaLook { schema: digest, comparison: message });

wire_choice!(Comparison, comparison {
    "known" Known(direct),
    "unknown" Unknown { why = plain },
});
