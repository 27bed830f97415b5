//! The agent's engine against real PostgreSQL servers: what it does, and what is left when it is cut off at any point.

#![expect(clippy::unwrap_used, reason = "a test that can't be set up ends there")]

mod backfill;
mod backfill_faults;
mod backfill_holds;
mod behind;
mod blocks;
mod commit;
mod connect;
mod drift;
mod exclusion;
mod faults;
mod fingerprint;
mod guide;
mod impact;
mod like_psql;
mod locks;
mod near;
mod own_statements;
mod record;
mod repeatable;
mod rollback;
mod rollback_plan;
mod saved;
mod stepwise;
mod support;
mod transaction;
mod unflushed;
mod window;
