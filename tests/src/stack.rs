//! A whole installation on this machine: a server, and for each environment a database with its agent.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use stopover_cluster::{Cluster, TestDatabase};
use tempfile::TempDir;

use crate::cli::Cli;
use crate::process::Process;
use crate::wait::eventually;

/// A server, its agents, and a command line that knows them.
pub struct Stack {
    // Fields are dropped in this order: processes before what they stand on.
    pub agents: Vec<Agent>,
    pub server: Option<Process>,
    pub cli: Cli,
    pub address: SocketAddr,
    store: Option<String>,
    /// More lines for its server.toml, at the end.
    settings: String,
    directory: TempDir,
}

/// An agent with its one database.
pub struct Agent {
    pub environment: String,
    pub process: Option<Process>,
    pub database: TestDatabase,
    config: PathBuf,
    directory: PathBuf,
}

/// How an agent differs from the usual.
#[derive(Debug, Default)]
pub struct AgentOptions {
    /// Through which address it reaches the server, when not directly.
    pub server: Option<SocketAddr>,
    /// Instead of the database's own port.
    pub database_port: Option<u16>,
    /// Instead of the right one.
    pub password: Option<String>,
    /// More lines for its agent.toml, in the `[backup]` table.
    pub backup: String,
    /// The same at its top.
    pub lines: String,
    /// More databases that it serves, each by its name there and in the cluster.
    pub databases: Vec<(String, String)>,
    /// More tables of its agent.toml.
    pub tables: String,
}

impl Stack {
    /// A server with a store of its own in a new directory.
    pub async fn start() -> Self {
        Self::start_with(None, &[], "").await
    }

    /// A server whose store is the PostgreSQL database of this URL.
    pub async fn start_on(store: &str) -> Self {
        Self::start_with(Some(store.to_owned()), &[], "").await
    }

    /// A server that knows these secrets, with more lines at the end of its server.toml. There they are `secrets/NAME`.
    pub async fn start_with_secrets(secrets: &[(&str, &str)], settings: &str) -> Self {
        Self::start_with(None, secrets, settings).await
    }

    async fn start_with(store: Option<String>, secrets: &[(&str, &str)], settings: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("stopover-test-").tempdir().expect("a directory");
        let path = directory.path().to_owned();
        let cli = Cli {
            server: String::new(),
            token_file: path.join("admin-token"),
            ca: path.join("data/ca.pem"),
            home: path.clone(),
        };
        let address = "127.0.0.1:0".parse().expect("an address");
        fs::create_dir(path.join("secrets")).expect("a directory");
        let lines = secrets.iter().map(|(name, text)| {
            fs::write(path.join("secrets").join(name), text).expect("a file can be written");
            format!("{name} = {{ file = \"secrets/{name}\" }}\n")
        });
        let lines: Vec<_> = lines.collect();
        let settings = format!("[secrets]\n{}{settings}", lines.concat());
        let mut stack = Self { agents: Vec::new(), server: None, cli, address, store, settings, directory };
        stack.start_server().await;
        stack
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts the server, on the port that it had before.
    pub async fn start_server(&mut self) {
        let directory = self.directory.path();
        let port_file = directory.join("port");
        let _ = fs::remove_file(&port_file);
        let config = directory.join("server.toml");
        let store = self.store.as_ref().map(|url| format!("store = \"{url}\"\n")).unwrap_or_default();
        let text = format!(
            "listen = \"{}\"\ndata_dir = \"{}\"\nreflection = true\n{store}{}",
            self.address,
            directory.join("data").display(),
            self.settings
        );
        fs::write(&config, text).expect("the configuration can be written");
        let args = [
            "--config".to_owned(),
            config.display().to_string(),
            "--port-file".to_owned(),
            port_file.display().to_string(),
            "--admin-token-file".to_owned(),
            self.cli.token_file.display().to_string(),
        ];
        let mut process = Process::start("stopover-server", &directory.join("server.log"), &args);
        let running = std::cell::RefCell::new(&mut process);
        self.address = eventually("the server's port", || async {
            assert!(running.borrow_mut().is_running(), "the server ended: {}", running.borrow().output());
            fs::read_to_string(&port_file).ok()?.trim().parse().ok()
        })
        .await;
        self.cli.server = format!("https://localhost:{}", self.address.port());
        self.server = Some(process);
    }

    /// # Panics
    /// When it isn't running.
    pub fn kill_server(&mut self) {
        self.server.take().expect("the server is running").kill9();
    }

    /// Makes an environment, a database in the shared cluster, and an agent that joins by token; gives its place.
    pub async fn environment(&mut self, name: &str) -> usize {
        self.environment_with(name, AgentOptions::default()).await
    }

    pub async fn environment_with(&mut self, name: &str, options: AgentOptions) -> usize {
        let database = TestDatabase::shared().await.expect("a database");
        self.environment_on(name, database, options).await
    }

    /// The same on a database that the test has made.
    pub async fn environment_on(
        &mut self,
        name: &str,
        database: TestDatabase,
        options: AgentOptions,
    ) -> usize {
        self.cli.ok(&["environment", "create", name]).await;
        let directory = self.directory.path().join(name);
        fs::create_dir_all(directory.join("backups")).expect("a directory");
        let config = directory.join("agent.toml");
        let server = format!("https://localhost:{}", options.server.unwrap_or(self.address).port());
        join(&self.cli, name, &server, &directory).await;
        write_config(&config, &directory, &server, &database, &options);
        let agent = Agent { environment: name.to_owned(), process: None, database, config, directory };
        self.agents.push(agent);
        let place = self.agents.len() - 1;
        self.start_agent(place);
        self.wait_for_agent(name).await;
        place
    }

    /// Another agent of an environment that is there. Its agent.toml has only the tables that are given.
    pub async fn another_agent(&mut self, environment: &str, name: &str, tables: &str) -> usize {
        let directory = self.directory.path().join(name);
        fs::create_dir_all(directory.join("backups")).expect("a directory");
        let server = format!("https://localhost:{}", self.address.port());
        join_as(&self.cli, environment, name, &server, &directory).await;
        let config = directory.join("agent.toml");
        let text =
            format!("server = \"{server}\"\nstate_dir = \"{state}\"\n{tables}", state = directory.display());
        fs::write(&config, text).expect("the configuration can be written");
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
        let database = TestDatabase::shared().await.expect("a database");
        let environment = environment.to_owned();
        self.agents.push(Agent { environment, process: None, database, config, directory });
        let place = self.agents.len() - 1;
        self.start_agent(place);
        eventually(&format!("the agent {name}"), || async {
            let listed = self.cli.run(&["--json", "agent", "list"]).await.json();
            listed.iter().any(|a| a["name"] == name && a["connected"] == true).then_some(())
        })
        .await;
        place
    }

    pub fn start_agent(&mut self, place: usize) {
        let agent = &mut self.agents[place];
        let args = ["run".to_owned(), "--config".to_owned(), agent.config.display().to_string()];
        let log = agent.directory.join("agent.log");
        agent.process = Some(Process::start("stopover-agent", &log, &args));
    }

    /// # Panics
    /// When it isn't running.
    pub fn kill_agent(&mut self, place: usize) {
        self.agents[place].process.take().expect("the agent is running").kill9();
    }

    /// Waits until the server shows the environment's agent as connected.
    pub async fn wait_for_agent(&self, environment: &str) {
        eventually(&format!("the agent of {environment}"), || async {
            let listed = self.cli.run(&["--json", "agent", "list"]).await;
            listed
                .json()
                .iter()
                .any(|a| a["environment"] == environment && a["connected"] == true)
                .then_some(())
        })
        .await;
    }

    /// Stores a pipeline.
    pub async fn pipeline(&self, toml: &str) {
        let file = self.directory.path().join("pipeline.toml");
        fs::write(&file, toml).expect("the pipeline can be written");
        self.cli.ok(&["pipeline".as_ref(), "apply".as_ref(), file.as_os_str()]).await;
    }

    /// Writes a migration's directory: file name and text.
    #[must_use]
    pub fn migration(&self, id: &str, files: &[(&str, &str)]) -> String {
        let directory = self.directory.path().join("migrations").join(id);
        fs::create_dir_all(&directory).expect("a directory");
        for (name, text) in files {
            fs::write(directory.join(name), text).expect("a file can be written");
        }
        directory.display().to_string()
    }
}

impl Agent {
    #[must_use]
    pub fn backups(&self) -> PathBuf {
        self.directory.join("backups")
    }

    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("agent.log")).unwrap_or_default()
    }
}

/// Joins an agent by a fresh token, as a person would.
async fn join(cli: &Cli, environment: &str, server: &str, directory: &Path) {
    join_as(cli, environment, environment, server, directory).await;
}

async fn join_as(cli: &Cli, environment: &str, name: &str, server: &str, directory: &Path) {
    let token = cli.run(&["--json", "agent", "token", environment]).await.json();
    let token = token[0]["token"].as_str().expect("a token").to_owned();
    let args = ["join", "--server", server, "--token", &token, "--name", name, "--dir"]
        .map(str::to_owned)
        .into_iter()
        .chain([directory.display().to_string()])
        .collect::<Vec<_>>();
    let mut joining = Process::start("stopover-agent", &directory.join("join.log"), &args);
    let status = joining.ended().await;
    assert!(status.success(), "the agent could not join: {}", joining.output());
}

fn write_config(
    config: &Path,
    directory: &Path,
    server: &str,
    database: &TestDatabase,
    options: &AgentOptions,
) {
    let settings = database.config();
    let own_password = settings.get_password().unwrap_or_default();
    let password = options.password.as_ref().map_or(own_password, |p| p.as_bytes());
    let password_file = directory.join("password");
    fs::write(&password_file, password).expect("a file can be written");
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
    let port = options.database_port.unwrap_or_else(|| settings.get_ports()[0]);
    let elsewhere = options.backup.contains("destination");
    let backups = format!("directory = \"{}\"\n", directory.join("backups").display());
    let backup_directory = if elsewhere { String::new() } else { backups };
    let text = format!(
        "server = \"{server}\"\nstate_dir = \"{state}\"\n{lines}\n[backup]\n{directory}{more}\n\n\
         [[database]]\nname = \"users\"\nurl = \"postgresql://postgres@127.0.0.1:{port}/{name}\"\n\
         password_file = \"{password_file}\"\n",
        state = directory.display(),
        directory = backup_directory,
        more = options.backup,
        lines = options.lines,
        name = database.name(),
        password_file = password_file.display(),
    );
    let more = options.databases.iter().map(|(name, database)| {
        format!(
            "\n[[database]]\nname = \"{name}\"\nurl = \"postgresql://postgres@127.0.0.1:{port}/{database}\"\n\
             password_file = \"{}\"\n",
            password_file.display()
        )
    });
    fs::write(config, text + &more.collect::<String>() + &options.tables)
        .expect("the configuration can be written");
    fs::set_permissions(config, fs::Permissions::from_mode(0o600)).expect("its mode can be set");
}

/// The sample migration that the repository ships.
#[must_use]
pub fn sample() -> String {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/samples/001_add_onboarding_completed");
    samples.to_owned()
}

/// A cluster of the test's own, for faults that would disturb others.
///
/// # Panics
/// When it can't be started.
pub async fn own_cluster(name: &str) -> Cluster {
    Cluster::builder().name(name).durable(true).start().await.expect("a cluster")
}
