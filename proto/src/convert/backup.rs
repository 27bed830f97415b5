//! Backups that lie somewhere.

use stopover_model::backup::{
    BackupProof, BackupShelf, BackupUpdate, RestoreTarget, RestoredBackup, StoredBackup, UnreadableBackup,
};

use super::field::{digest, direct, duration, enumeration, messages, name, optional_text, plain, timestamp};
use super::step::attempt;
use crate::v1;

wire_message!(BackupShelf { destination: plain, backups: messages, unreadable: messages });

wire_message!(StoredBackup {
    id: name,
    environment: name,
    database: name,
    agent: name,
    deployment: name,
    attempt: attempt,
    location: plain,
    database_name: plain,
    server_version: plain,
    level: enumeration,
    bytes: plain,
    sha256: digest,
    dump_bytes: plain,
    database_bytes: plain,
    recipients: plain,
    header: plain,
    started: timestamp,
    finished: timestamp,
    restore_command: plain,
});

wire_message!(UnreadableBackup { location: plain, why: plain });

wire_message!(BackupProof { bytes: plain, sha256: digest, level: enumeration, took: duration });

wire_message!(RestoredBackup {
    database_name: plain,
    kept_as: optional_text,
    fresh_backup: optional_text,
    took: duration,
});

wire_choice!(RestoreTarget, restore_target {
    "new_database" NewDatabase { name = plain },
    "live" Live { disconnect_others: plain },
});

wire_choice!(BackupUpdate, backup_update {
    "line" Line(direct),
    "progress" Progress(direct),
    "proven" Proven(direct),
    "restored" Restored(direct),
    "failed" Failed(direct),
});
