//! Agents without databases, in a process of their own: the program stopover-simulated-agents.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use stopover_proto::v1::{CreateEnvironmentRequest, CreateJoinTokenRequest};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::Stack;
use crate::control::Control;
use crate::process::program;

const AT_A_TIME: usize = 32;

/// Those of one process. They are gone when this is.
pub struct Simulated {
    _process: Child,
    words: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    directory: PathBuf,
}

/// What they are like.
#[derive(Debug, Clone)]
pub struct SimulatedOptions {
    /// What their names begin with.
    pub prefix: String,
    /// Of each agent.
    pub databases: usize,
    /// How long each step takes.
    pub delay: Duration,
    /// Lines a second that a migration logs, and for how many seconds.
    pub talk: (u32, u64),
    /// Databases in which the migration fails.
    pub fails: Vec<String>,
}

impl Default for SimulatedOptions {
    fn default() -> Self {
        Self {
            prefix: "sim".to_owned(),
            databases: 1,
            delay: Duration::from_millis(20),
            talk: (0, 0),
            fails: Vec::new(),
        }
    }
}

impl Simulated {
    /// Makes these environments where they are missing, and has an agent join each, in their order.
    ///
    /// # Panics
    /// When one can't.
    pub async fn join(
        stack: &Stack,
        control: &Control,
        environments: &[String],
        options: &SimulatedOptions,
    ) -> Self {
        let tokens = tokens(control, environments).await;
        let directory = stack.directory().join(&options.prefix);
        std::fs::create_dir_all(&directory).expect("a directory");
        let mut process = Command::new(program("stopover-simulated-agents"))
            .args(["--server", &format!("https://localhost:{}", stack.address.port())])
            .args(["--prefix", &options.prefix, "--databases", &options.databases.to_string()])
            .args(["--delay", &options.delay.as_millis().to_string()])
            .args(["--talk", &options.talk.0.to_string(), "--talk-for", &options.talk.1.to_string()])
            .args(options.fails.iter().flat_map(|name| ["--fails", name]))
            .arg("--dir")
            .arg(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(directory.join("agents.log")).expect("a log"))
            .kill_on_drop(true)
            .spawn()
            .expect("simulated agents can be started");
        let words = process.stdin.take().expect("a pipe");
        let answers = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut agents = Self { _process: process, words, answers, directory };
        agents.say(&format!("{}\n", tokens.join("\n"))).await;
        let joined = agents.answer().await;
        assert_eq!(joined, format!("joined {}", tokens.len()));
        agents
    }

    /// All of them open their tunnels; how long that took, until the server knew what each of them serves.
    ///
    /// # Panics
    /// When one can't.
    pub async fn connect(&mut self) -> Duration {
        self.say("connect").await;
        let answer = self.answer().await;
        let took = answer.rsplit(' ').next().and_then(|ms| ms.parse().ok());
        Duration::from_millis(took.unwrap_or_else(|| panic!("they said {answer}")))
    }

    async fn say(&mut self, words: &str) {
        self.words.write_all(format!("{words}\n").as_bytes()).await.expect("they read");
    }

    async fn answer(&mut self) -> String {
        let line = self.answers.next_line().await.expect("they write");
        line.unwrap_or_else(|| {
            let log = std::fs::read_to_string(self.directory.join("agents.log")).unwrap_or_default();
            panic!("the simulated agents have ended: {log}")
        })
    }
}

async fn tokens(control: &Control, environments: &[String]) -> Vec<String> {
    let mut wanted = environments.to_vec();
    wanted.sort();
    wanted.dedup();
    for name in wanted {
        // It may be there.
        let _ = control.clone().create_environment(CreateEnvironmentRequest { name }).await;
    }
    let one = |environment: &String| {
        let (mut control, environment) = (control.clone(), environment.clone());
        async move {
            Ok(control.create_join_token(CreateJoinTokenRequest { environment }).await?.into_inner().token)
        }
    };
    let tokens: Result<Vec<_>, tonic::Status> =
        stream::iter(environments).map(one).buffered(AT_A_TIME).try_collect().await;
    tokens.expect("join tokens")
}
