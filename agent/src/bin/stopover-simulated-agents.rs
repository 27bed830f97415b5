//! Many agents in one process, with no database under them, for measuring what they cost a server. They join with real
//! tokens, open real tunnels and answer all calls, with made-up figures.
//!
//! ```text
//! standard input:  a join token for each agent, an empty line          "connect"               (its end: they go)
//! standard output:                                      "joined N"                "connected N in MILLISECONDS"
//! ```

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use stopover_agent::config::{self, AgentConfig};
use stopover_agent::connection::ServerUrl;
use stopover_agent::identity::{self, Identity};
use stopover_agent::run::simulated::Simulation;
use stopover_agent::service::{Pretence, Talk};
use stopover_model::cause;
use stopover_model::id::{AgentName, DatabaseName};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A server takes more than ten that it does not know yet, from one address, for guesses.
const JOIN_AT_A_TIME: usize = 8;

/// Agents without databases.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server's address: https://HOST:PORT.
    #[arg(long)]
    server: ServerUrl,
    /// A directory of their own; their agent.toml is written there.
    #[arg(long)]
    dir: PathBuf,
    /// What their names begin with.
    #[arg(long, default_value = "sim")]
    prefix: String,
    /// Of each agent.
    #[arg(long, default_value_t = 1)]
    databases: usize,
    /// How long each step takes, in milliseconds.
    #[arg(long, default_value_t = 20)]
    delay: u64,
    /// Lines a second that each migration logs, with the time at which they were said.
    #[arg(long, default_value_t = 0)]
    talk: u32,
    /// For so many seconds.
    #[arg(long, default_value_t = 5)]
    talk_for: u64,
    /// Databases in which the migration fails.
    #[arg(long)]
    fails: Vec<DatabaseName>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match simulate(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "error: {}", cause::once(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn simulate(arguments: Arguments) -> anyhow::Result<()> {
    let pretence = Pretence {
        delay: Duration::from_millis(arguments.delay),
        talk: Talk { per_second: arguments.talk, lasts: Duration::from_secs(arguments.talk_for) },
        fails: arguments.fails.iter().cloned().collect(),
        ..Pretence::default()
    };
    let known = Arc::clone(&pretence.known);
    let file = arguments.dir.join(config::FILE);
    // An agent.toml without a database is none.
    let nowhere = "[[database]]\nname = \"none\"\nurl = \"postgresql://nobody@127.0.0.1:1/none\"\n";
    let text = format!("server = \"{}\"\n{nowhere}", arguments.server);
    std::fs::write(&file, text).context("could not write agent.toml")?;
    let simulation = Arc::new(Simulation::new(AgentConfig::load(&file)?, pretence)?);
    let mut input = input();
    let identities = join(&arguments, &mut input).await?;
    say(&format!("joined {}", identities.len()))?;
    if input.recv().await.as_deref() != Some("connect") {
        bail!("the word after the tokens is not \"connect\"");
    }

    let (begun, count) = (Instant::now(), identities.len());
    let (close, tasks) = (CancellationToken::new(), TaskTracker::new());
    for (number, identity) in identities.into_iter().enumerate() {
        let (simulation, close) = (Arc::clone(&simulation), close.clone());
        let databases = databases(&arguments, number)?;
        tasks.spawn(async move { simulation.keep_open(identity, databases, close).await });
    }
    while known.load(Ordering::Relaxed) < count {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    say(&format!("connected {count} in {}", begun.elapsed().as_millis()))?;
    while input.recv().await.is_some() {}
    close.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// The lines of the standard input, up to its end.
fn input() -> mpsc::UnboundedReceiver<String> {
    let (lines, input) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let read = std::io::stdin().lines().map_while(Result::ok);
        // Nobody reads them any more only when the program ends.
        read.for_each(|line| drop(lines.send(line)));
    });
    input
}

/// One agent for each token, up to an empty line.
async fn join(
    arguments: &Arguments,
    input: &mut mpsc::UnboundedReceiver<String>,
) -> anyhow::Result<Vec<Identity>> {
    let mut tokens = Vec::new();
    while let Some(token) = input.recv().await.filter(|line| !line.is_empty()) {
        tokens.push(token);
    }
    let one = |(number, token): (usize, String)| async move {
        let name: AgentName = agent(arguments, number).parse()?;
        anyhow::Ok(identity::join(&arguments.server, &token.parse()?, &name).await?)
    };
    stream::iter(tokens.into_iter().enumerate()).map(one).buffered(JOIN_AT_A_TIME).try_collect().await
}

fn agent(arguments: &Arguments, number: usize) -> String {
    format!("{}-{number:05}", arguments.prefix)
}

fn databases(arguments: &Arguments, number: usize) -> anyhow::Result<Vec<DatabaseName>> {
    let name = |n: usize| Ok(format!("{}-{n:04}", agent(arguments, number)).parse()?);
    (0..arguments.databases).map(name).collect()
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
