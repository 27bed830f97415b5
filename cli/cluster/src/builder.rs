//! Says what a cluster should be like, and makes it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Child;

use crate::binaries::Programs;
use crate::guard::Guard;
use crate::launch::Launch;
use crate::owner::{self, ServerUser};
use crate::{Cluster, ClusterError};

/// Options of a cluster to be started; [`ClusterBuilder::start`] makes it.
#[derive(Clone, Debug)]
#[must_use]
pub struct ClusterBuilder {
    name: String,
    settings: Vec<(String, String)>,
    durable: bool,
    tls: Option<(String, String)>,
}

/// A server that runs; who watches over it is the caller's affair.
pub(crate) struct Running {
    pub(crate) postmaster: Child,
    pub(crate) port: u16,
    pub(crate) password: String,
}

impl ClusterBuilder {
    pub(crate) fn new() -> Self {
        Self { name: "cluster".to_owned(), settings: Vec::new(), durable: false, tls: None }
    }

    /// Shown in the directory's name, in `ps` and as `cluster_name`.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .take(30)
            .collect();
        self
    }

    /// One setting of postgresql.conf, as in `setting("wal_level", "logical")`; a later one wins.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Keeps fsync and full-page writes on, for measurements and for tests of the machine's own crash.
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Serves TLS with this certificate and key; connections without it stay possible.
    pub fn tls(mut self, certificate_pem: &str, key_pem: &str) -> Self {
        self.tls = Some((certificate_pem.to_owned(), key_pem.to_owned()));
        self
    }

    /// Makes the cluster and waits until it accepts connections. It ends with the value that is returned.
    pub async fn start(self) -> Result<Cluster, ClusterError> {
        let launch = self.prepare()?;
        let guard = Guard::post(&launch.root)?;
        let running = self.run(&launch).await?;
        Ok(Cluster::owned(self.name, launch, running, guard))
    }

    /// Makes the cluster as a streaming standby of this one, and waits until it answers. Its password is the same.
    pub async fn start_standby_of(self, primary: &Cluster) -> Result<Cluster, ClusterError> {
        let launch = self.prepare()?;
        let guard = Guard::post(&launch.root)?;
        launch.copy_of(primary.port(), primary.password()).await?;
        launch.configure(&self.all_settings(&launch))?;
        let (postmaster, port) = launch.start().await?;
        let running = Running { postmaster, port, password: primary.password().to_owned() };
        Ok(Cluster::owned(self.name, launch, running, guard))
    }

    /// Makes an empty directory for a cluster. Nobody removes it until a guard is posted.
    pub(crate) fn prepare(&self) -> Result<Launch, ClusterError> {
        let programs = Programs::find()?;
        let user = ServerUser::needed()?;
        let base = owner::base_directory(user)?;
        let directory = tempfile::Builder::new()
            .prefix(&format!("stopover-{}-", self.name))
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in(&base)
            .map_err(ClusterError::file("make a directory in", &base))?;
        owner::hand_over(user, directory.path())?;
        let root: PathBuf = directory.keep();
        Ok(Launch { programs, user, root })
    }

    pub(crate) async fn run(&self, launch: &Launch) -> Result<Running, ClusterError> {
        let password = password()?;
        launch.initdb(&password).await?;
        if let Some((certificate, key)) = &self.tls {
            launch.write_private(&launch.data().join("server.crt"), certificate)?;
            launch.write_private(&launch.data().join("server.key"), key)?;
        }
        launch.configure(&self.all_settings(launch))?;
        let (postmaster, port) = launch.start().await?;
        Ok(Running { postmaster, port, password })
    }

    fn all_settings(&self, launch: &Launch) -> Vec<(String, String)> {
        let sockets = launch.root.display().to_string();
        let mut settings: Vec<(&str, &str)> = vec![
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", &sockets),
            ("cluster_name", &self.name),
            ("log_line_prefix", "%m [%p] %q%u@%d %a "),
            // Parallel queries' shared memory lies in the data directory then, and goes with it after a kill.
            ("dynamic_shared_memory_type", "mmap"),
        ];
        if !self.durable {
            settings.extend([("fsync", "off"), ("full_page_writes", "off")]);
        }
        if self.tls.is_some() {
            settings.push(("ssl", "on"));
        }
        let ours = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        ours.chain(self.settings.iter().cloned()).collect()
    }
}

fn password() -> Result<String, ClusterError> {
    use std::io::Read;
    let source = std::path::Path::new("/dev/urandom");
    let mut bytes = [0; 16];
    std::fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(ClusterError::file("read", source))?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}
