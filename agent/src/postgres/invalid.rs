//! What is wrong with a database's settings.

/// A `[[database]]` that can't be used. Never shows the url, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum InvalidDatabase {
    #[error("the url can't be read; write postgresql://user@host:port/database?sslmode=verify-full")]
    Url { source: tokio_postgres::Error },
    #[error("the url holds a %-escape that is none; write %25 for the percent sign itself")]
    Encoding,
    #[error(
        "the url is neither postgresql://… nor pairs of key=value; quote values with blanks as key='value'"
    )]
    Pairs,
    #[error("sslmode is one of disable, allow, prefer, require, verify-ca and verify-full")]
    SslMode,
    #[error(
        "the url names no host; write postgresql://user@HOST/database, or ?host=/run/postgresql for a socket"
    )]
    NoHost,
    #[error("the url names no database; write postgresql://user@host/DATABASE")]
    NoDatabase,
    #[error("{first} and {second} both give the password; keep one of them")]
    TwoPasswords { first: &'static str, second: &'static str },
    #[error("password_command is empty; write [\"program\", \"argument\"]")]
    NoCommand,
    #[error("{key} is in the url and beside it; keep one of them")]
    Twice { key: &'static str },
    #[error(
        "sslrootcert = \"system\" trusts every certificate authority of the machine, so it needs sslmode = \"verify-full\""
    )]
    WeakSystem,
    #[error("its scratch_url can't be used")]
    Scratch(#[source] Box<InvalidDatabase>),
}
