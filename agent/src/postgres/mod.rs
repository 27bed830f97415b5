//! Talking to a PostgreSQL database: connecting as libpq would, checking what answered, and telling its errors apart.
//!
//! This part never decides what runs: it opens sessions, hands on notices, asks backends to stop, and turns errors into
//! words without secrets or row values in them.
//!
//! ```text
//! DatabaseConfig -> Database -> connect(Purpose) -> Session (client, identity, notices, canceller)
//! ```

mod blockers;
mod config;
mod connect_error;
mod database;
mod dsn;
mod error;
mod invalid;
mod password;
mod pooler;
mod purpose;
mod session;
mod text;
mod tls;

pub(crate) use blockers::{blockers, describe_blocker};
pub use config::DatabaseConfig;
pub use connect_error::ConnectError;
pub use database::Database;
pub use error::{DatabaseError, QueryError, step_error};
pub use invalid::InvalidDatabase;
pub use password::PasswordError;
pub use purpose::{Purpose, SessionName};
pub use session::{ServerIdentity, Session};
pub use text::shown;
pub use tls::SslMode;
