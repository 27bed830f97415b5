//! The agent's program: `stopover-agent join` and `stopover-agent run`.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use stopover_agent::cli::{self, Cli, Command, LogFormat};
use stopover_agent::config::AgentConfig;
use stopover_agent::{join, run};
use stopover_model::cause;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

const FAILED: u8 = 1;

#[tokio::main]
async fn main() -> ExitCode {
    // Only fails when somebody installed one before, which nobody can have done here.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Whatever this process writes is for its own user alone: keys, backups, passwords.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let cli = Cli::parse();
    start_log(cli.log_format);
    let result = match cli.command {
        Command::Join(arguments) => join(arguments).await,
        Command::Run(arguments) => run_until_stopped(arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "error: {}", cause::once(error.as_ref()));
            ExitCode::from(FAILED)
        }
    }
}

async fn join(arguments: cli::Join) -> anyhow::Result<()> {
    let joined = join::join(arguments).await?;
    write!(std::io::stdout().lock(), "{joined}")?;
    Ok(())
}

async fn run_until_stopped(arguments: cli::Run) -> anyhow::Result<()> {
    let config = AgentConfig::load(&arguments.config)?;
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let signals = {
        let stop = stop.clone();
        async move {
            for heard in 0.. {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if heard > 0 {
                    tracing::warn!(
                        "a second signal: ending at once; the databases' ledgers know what took effect"
                    );
                    std::process::exit(i32::from(FAILED));
                }
                stop.cancel();
            }
        }
    };
    tokio::spawn(signals);
    run::run(config, stop).await?;
    Ok(())
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if format == LogFormat::Json {
        log.json().init();
    } else {
        log.with_target(false).with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
}
