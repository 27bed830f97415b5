//! What can be asked of the program on its command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use stopover_model::id::AgentName;

use crate::connection::ServerUrl;

/// Where an agent keeps its things unless it is told otherwise.
pub const DEFAULT_DIRECTORY: &str = "/var/lib/stopover-agent";

/// Works beside the databases of one environment, and dials out to the Stopover server.
#[derive(Debug, Parser)]
#[command(name = "stopover-agent", version, propagate_version = true)]
pub struct Cli {
    /// How the log is written to the standard error stream; `RUST_LOG` picks what is logged.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trades a join token for this agent's identity, and writes an agent.toml to complete.
    Join(Join),
    /// Connects to the server and works until it is stopped.
    Run(Run),
}

#[derive(Debug, Args)]
pub struct Join {
    /// The server's address: https://HOST:PORT.
    #[arg(long, value_name = "URL")]
    pub server: ServerUrl,
    /// The token that `stopover agent token ENVIRONMENT` printed; good once, for an hour.
    #[arg(long, value_name = "TOKEN", env = "STOPOVER_JOIN_TOKEN", hide_env_values = true)]
    pub token: String,
    /// The name that people will see; this machine's name when not given.
    #[arg(long)]
    pub name: Option<AgentName>,
    /// The directory for the identity and agent.toml; made when it is not there.
    #[arg(long, default_value = DEFAULT_DIRECTORY)]
    pub dir: PathBuf,
}

#[derive(Debug, Args)]
pub struct Run {
    /// The agent's configuration.
    #[arg(long, value_name = "FILE", default_value_os_t = PathBuf::from(DEFAULT_DIRECTORY).join(crate::config::FILE))]
    pub config: PathBuf,
}

/// A name for the agent out of the machine's name: lower case, without its domain.
#[must_use]
pub fn name_of_machine(host: &str) -> Option<AgentName> {
    let name: String = host
        .split('.')
        .next()?
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' })
        .take(63)
        .collect();
    name.trim_start_matches(['-', '_']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        <Cli as clap::CommandFactory>::command().debug_assert();
        let cli =
            <Cli as clap::Parser>::try_parse_from(["stopover-agent", "run", "--log-format", "json"]).unwrap();
        assert_eq!(cli.log_format, LogFormat::Json);
    }

    #[test]
    fn a_wrong_address_is_refused_where_it_was_typed() {
        let arguments = ["stopover-agent", "join", "--server", "http://a", "--token", "x"];
        let error = Cli::try_parse_from(arguments).unwrap_err().to_string();
        assert!(error.contains("write it as https://HOST:PORT"), "{error}");
    }

    #[test]
    fn a_machines_name_becomes_an_agents_name() {
        let name = |host| name_of_machine(host).map(|n| n.to_string());
        assert_eq!(name("DB-Host1.internal.example").as_deref(), Some("db-host1"));
        assert_eq!(name("été"), Some("t-".to_owned()));
        assert_eq!(name(""), None);
    }
}
