//! Joining: a token becomes an identity on the disk, and an agent.toml waits to be completed.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use stopover_proto::token::InvalidToken;

use crate::cli;
use crate::config;
use crate::connection::ServerUrl;
use crate::identity::{self, Identity, IdentityError, IdentityStore, StoreError};

/// What joining left behind; shows itself as the words for the person who did it.
#[derive(Debug)]
pub struct Joined {
    identity: Identity,
    server: ServerUrl,
    config: PathBuf,
    /// Whether there was an agent.toml before.
    configured: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error("this machine's name makes no name for an agent; give one with --name")]
    NoName,
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("could not write {}", path.display())]
    Config { path: PathBuf, source: io::Error },
}

/// Joins, and writes the identity and where there is none an agent.toml.
pub async fn join(arguments: cli::Join) -> Result<Joined, JoinError> {
    let token = arguments.token.parse()?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = arguments.name.or_else(|| cli::name_of_machine(&host)).ok_or(JoinError::NoName)?;
    let store = IdentityStore::new(&arguments.dir);
    // The token is good once: what can fail on this machine has to fail before it is used.
    store.create()?;
    store.check_writable()?;
    let identity = identity::join(&arguments.server, &token, &name).await?;
    store.save(&identity)?;
    let config = arguments.dir.join(config::FILE);
    let configured = !write_new(&config, &config::skeleton(&arguments.server, &identity.environment))
        .map_err(|source| JoinError::Config { path: config.clone(), source })?;
    Ok(Joined { identity, server: arguments.server, config, configured })
}

/// Whether it was written: a file that is there already stays as it is.
fn write_new(path: &Path, text: &str) -> io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

impl fmt::Display for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, server, config, .. } = self;
        let config = config.display();
        writeln!(f, "{} has joined {} in the environment {}.", identity.agent, server, identity.environment)?;
        if self.configured {
            writeln!(f, "{config} was there already and stays as it is; check that it names this server.")?;
        } else {
            writeln!(f, "Now add the databases to {config}.")?;
        }
        writeln!(f, "Then start it: stopover-agent run --config {config}")
    }
}
