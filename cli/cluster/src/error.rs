//! What can go wrong around a throwaway cluster, and the way out.

use std::io;
use std::path::{Path, PathBuf};

/// Why a throwaway cluster could not be started, reached or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(
        "PostgreSQL's server programs initdb and postgres were found neither on PATH nor in \
         /usr/lib/postgresql/*/bin nor through pg_config; install them (Debian, Ubuntu: `apt-get install postgresql`) \
         or put their directory on PATH"
    )]
    ProgramsNotFound,

    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor a user `nobody` to run it as; \
         create one with `useradd --system postgres`"
    )]
    NoServerUser,

    #[error(
        "none of {tried} can hold a cluster: the directory must be writable for us, open to the user that runs \
         PostgreSQL, and short enough for a socket; set TMPDIR to one that is"
    )]
    NoDirectory { tried: String },

    #[error("could not {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },

    #[error("could not run {}", program.display())]
    Program { program: PathBuf, source: io::Error },

    #[error("initdb failed in {}; it said:\n{output}", directory.display())]
    Initdb { directory: PathBuf, output: String },

    #[error("pg_basebackup failed in {}; it said:\n{output}", directory.display())]
    Copy { directory: PathBuf, output: String },

    #[error("PostgreSQL did not start: {reason}; its log ends:\n{log}")]
    Start { reason: String, log: String },

    #[error("PostgreSQL's process {pid} could not be signalled")]
    Signal { pid: u32, source: io::Error },

    #[error("PostgreSQL's process {pid} did not end within {seconds} s; its log ends:\n{log}")]
    Stop { pid: u32, seconds: u64, log: String },

    #[error(
        "this cluster is shared with other tests; to stop or kill a server, start one with Cluster::builder()"
    )]
    Shared,

    #[error("could not connect to the database {database:?} of the cluster {cluster}")]
    Connect { cluster: String, database: String, source: tokio_postgres::Error },

    #[error("could not {action}")]
    Sql { action: String, source: tokio_postgres::Error },
}

impl ClusterError {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    pub(crate) fn sql(action: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let action = action.into();
        move |source| Self::Sql { action, source }
    }
}
