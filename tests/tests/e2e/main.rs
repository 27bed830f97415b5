//! Whole paths through real processes: a server, agents that joined by token, the command line, PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod adopt;
mod backfill;
mod backups;
mod dev;
mod drift;
mod estimates;
mod faults;
mod fleet;
mod follow_ups;
mod gates;
mod histories;
mod hooks;
mod identity;
mod in_turn;
mod killed_backups;
mod killed_ways_back;
mod layouts;
mod lint;
mod notices;
mod path;
mod people;
mod refusals;
mod rehearsal;
mod restarts;
mod rollback_units;
mod saved;
mod sign_in;
#[cfg(feature = "simulated")]
mod simulated;
mod soak;
mod support;
mod vaults;
mod waits;
mod windows;
