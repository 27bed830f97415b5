//! The state of a database before anything happens.

use stopover_model::disk::{Disk, Disks};
use stopover_model::report::{
    BackupHindrance, ExistingObject, Inspection, LedgerEntry, LedgerState, PreCheck, Session,
    TableInspection, TableLock,
};

use super::field::{digest, duration, enumeration, message, messages, name, optional_text, plain, timestamp};
use crate::v1;

wire_message!(Inspection {
    server_version: plain,
    server_version_num: plain,
    in_recovery: plain,
    system_identifier: plain,
    database: plain,
    database_bytes: plain,
    tables: messages,
    long_running: messages,
    locks: messages,
    existing: messages,
    ledger: messages,
    drift: optional_boxed,
    warnings: plain,
    impacts: messages,
    unpredicted: plain,
    saved: messages,
    checks: messages,
    metrics: optional_boxed,
    disks: optional_boxed,
    hindrances: messages,
});

wire_message!(BackupHindrance { what: plain, way_out: plain, of_copies: plain });

wire_message!(Disks { seen: messages, unseen: plain, wal_room: plain, copies_here: plain });

wire_message!(Disk { path: plain, free: plain, data: plain, wal: plain, relations: plain });

wire_message!(PreCheck { migration: name, result: message });

wire_message!(TableInspection {
    table: plain,
    exists: plain,
    rows: plain,
    rows_counted: plain,
    total_bytes: plain,
});

wire_message!(Session {
    pid: plain,
    user: plain,
    application: plain,
    state: plain,
    transaction_age: duration,
    query_age: duration,
    query: optional_text,
});

wire_message!(TableLock { table: plain, mode: plain, granted: plain, holder: message });

wire_message!(ExistingObject { migration: name, object: plain });

wire_message!(LedgerEntry {
    migration: name,
    digest: digest,
    state: enumeration,
    variant: enumeration,
    deployment: name,
    at: timestamp,
    origin: optional_text,
});

wire_enum!(LedgerState { Running, Applied });

/// Most inspections have none, and a report is not to be large for it.
mod optional_boxed {
    use crate::convert::InvalidWire;
    use crate::convert::field::optional_message;

    pub(super) fn write<T, W: From<T>>(value: Option<Box<T>>) -> Option<W> {
        optional_message::write(value.map(|value| *value))
    }

    pub(super) fn read<W, T: TryFrom<W, Error = InvalidWire>>(
        wire: Option<W>,
        field: &str,
    ) -> Result<Option<Box<T>>, InvalidWire> {
        Ok(optional_message::read(wire, field)?.map(Box::new))
    }
}
