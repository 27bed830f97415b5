//! Talking to a PostgreSQL database: connecting as libpq would, checking what answered, and telling its errors apart.
//!
//! This part never decides what runs: it opens sessions, hands on notices, asks backends to stop, and turns errors into
//! words without secrets or row values in them.
//!
//! ```text
//! DatabaseConfig -> Database -> connect(Purpose) -> Session (client, identity, notices, canceller)
//! ```

mod blockers;
mod company;
mod config;
mod connect_error;
mod database;
mod dsn;
mod error;
mod invalid;
mod known;
mod others;
mod password;
mod pooler;
mod prepared;
mod purpose;
mod session;
mod text;
mod tls;
mod unflushed;

pub(crate) use blockers::{Blockers, blockers, still_run, waits};
pub(crate) use company::{Company, Why, company};
pub use config::DatabaseConfig;
pub use connect_error::ConnectError;
pub use database::Database;
pub use error::{DatabaseError, QueryError, step_error};
pub use invalid::InvalidDatabase;
pub(crate) use known::Parameters;
pub(crate) use others::{blindness, columns as session_columns, read as read_session};
pub use password::PasswordError;
pub use purpose::{Purpose, SessionName};
pub use session::{ServerIdentity, Session};
pub use text::shown;
pub(crate) use text::shown_line;
pub use tls::SslMode;
pub use unflushed::Flush;
