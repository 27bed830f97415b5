//! A running cluster: where it is, how to connect, and how to stop, kill and start it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, Config, NoTls};

use crate::builder::Running;
use crate::guard::Guard;
use crate::launch::{self, Launch};
use crate::{ClusterBuilder, ClusterError, shared};

const STOP_DEADLINE: Duration = Duration::from_mins(1);
/// How long processes that a killed server left behind may take to notice it and end by themselves.
const ORPHANS_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);

/// A PostgreSQL cluster of our own. Dropping it stops the server and removes its files.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    root: PathBuf,
    port: u16,
    password: String,
    hold: Hold,
}

/// What keeps the cluster alive.
#[derive(Debug)]
enum Hold {
    /// We alone: the guard ends it with this value.
    Own(Box<Own>),
    /// Everybody who holds a shared lock on this file.
    Shared { _users: File },
}

#[derive(Debug)]
struct Own {
    guard: Option<Guard>,
    launch: Launch,
    postmaster: Mutex<Option<Child>>,
}

impl Cluster {
    /// A cluster of one's own.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder::new()
    }

    /// The cluster that all test processes of a run share. The first one starts it; it ends some seconds after the
    /// last one. It can be neither stopped nor killed; make a [`crate::TestDatabase`] in it.
    pub async fn shared() -> Result<Self, ClusterError> {
        shared::join().await
    }

    pub(crate) fn owned(name: String, launch: Launch, running: Running, guard: Guard) -> Self {
        let Running { postmaster, port, password } = running;
        let root = launch.root.clone();
        let hold =
            Hold::Own(Box::new(Own { guard: Some(guard), launch, postmaster: Mutex::new(Some(postmaster)) }));
        Self { name, root, port, password, hold }
    }

    pub(crate) fn joined(root: PathBuf, port: u16, password: String, users: File) -> Self {
        Self { name: "shared".to_owned(), root, port, password, hold: Hold::Shared { _users: users } }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port on 127.0.0.1; it stays the same after [`Cluster::start_again`].
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of the superuser `postgres`.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The superuser's URL of the database `postgres`.
    #[must_use]
    pub fn superuser_url(&self) -> String {
        self.url("postgres")
    }

    /// The superuser's URL of a database.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{}", self.password, self.port, percent_encoded(database))
    }

    /// The directory of the Unix socket, which libpq takes as a host.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Everything that the server has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(self.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.root.join("server.log")
    }

    /// The server's main process, or `None` where it does not run.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.data_directory().join("postmaster.pid")).ok()?;
        let pid = text.lines().next()?.parse().ok()?;
        // A server that was killed leaves its pid file.
        processes_in(&self.data_directory()).contains(&pid).then_some(pid)
    }

    /// Connects as the superuser, over TCP and without TLS; the connection is driven by a task of its own.
    pub async fn client(&self, database: &str) -> Result<Client, ClusterError> {
        connect(&self.name, &self.config(database)).await
    }

    /// What [`Cluster::client`] connects with, to be changed at will.
    #[must_use]
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").password(&self.password).dbname(database);
        config.connect_timeout(Duration::from_secs(10));
        config
    }

    pub async fn create_database(&self, name: &str) -> Result<(), ClusterError> {
        let sql = format!("CREATE DATABASE {}", quoted(name));
        let client = self.client("postgres").await?;
        client.batch_execute(&sql).await.map_err(ClusterError::sql(format!("create the database {name:?}")))
    }

    /// PostgreSQL's fast shutdown: sessions are ended, their transactions rolled back, everything is on disk.
    pub async fn stop(&self) -> Result<(), ClusterError> {
        self.end_with(Signal::INT).await
    }

    /// PostgreSQL's immediate shutdown: as after a crash, but in order.
    pub async fn stop_immediately(&self) -> Result<(), ClusterError> {
        self.end_with(Signal::QUIT).await
    }

    /// `kill -9` of the server's main process. Its sessions notice soon, or go on until they next wait for something.
    pub async fn kill9(&self) -> Result<(), ClusterError> {
        self.end_with(Signal::KILL).await
    }

    /// Starts a stopped or killed server on the same port; it recovers first. Does nothing where it runs.
    pub async fn start_again(&self) -> Result<(), ClusterError> {
        let own = self.own()?;
        let mut postmaster = own.postmaster.lock().await;
        if postmaster.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None))) {
            return Ok(());
        }
        end_orphans(&own.launch.data()).await;
        *postmaster = Some(own.launch.start_on(self.port).await?);
        Ok(())
    }

    fn own(&self) -> Result<&Own, ClusterError> {
        match &self.hold {
            Hold::Own(own) => Ok(own),
            Hold::Shared { .. } => Err(ClusterError::Shared),
        }
    }

    async fn end_with(&self, signal: Signal) -> Result<(), ClusterError> {
        let mut postmaster = self.own()?.postmaster.lock().await;
        let Some(child) = postmaster.as_mut() else {
            return Ok(());
        };
        let pid = child.id();
        let signalled = |source: std::io::Error| ClusterError::Signal { pid, source };
        if child.try_wait().map_err(signalled)?.is_none() {
            kill_process(Pid::from_child(child), signal).map_err(|errno| signalled(errno.into()))?;
        }
        let deadline = Instant::now() + STOP_DEADLINE;
        while child.try_wait().map_err(signalled)?.is_none() {
            if Instant::now() >= deadline {
                let log = launch::tail(&self.log_file(), 0);
                return Err(ClusterError::Stop { pid, seconds: STOP_DEADLINE.as_secs(), log });
            }
            sleep(POLL).await;
        }
        *postmaster = None;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Hold::Own(own) = &mut self.hold {
            drop(own.guard.take());
            if let Some(mut child) = own.postmaster.get_mut().take() {
                // The guard has ended it; an error means that somebody else has reaped it.
                let _ = child.wait();
            }
        }
    }
}

pub(crate) async fn connect(cluster: &str, config: &Config) -> Result<Client, ClusterError> {
    let (client, connection) = config.connect(NoTls).await.map_err(|source| ClusterError::Connect {
        cluster: cluster.to_owned(),
        database: config.get_dbname().unwrap_or_default().to_owned(),
        source,
    })?;
    // Its error reaches the client's next call.
    tokio::spawn(connection);
    Ok(client)
}

/// An identifier as SQL wants it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The server's processes, told by where they work.
fn processes_in(data: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == data))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// A new server refuses to start while processes of the killed one are left.
async fn end_orphans(data: &Path) {
    let deadline = Instant::now() + ORPHANS_DEADLINE;
    loop {
        let orphans = processes_in(data);
        if orphans.is_empty() {
            return;
        }
        if Instant::now() >= deadline {
            for pid in orphans.into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests;
