//! Where migrations go, and who works there: environments and agents.

use clap::Subcommand;
use stopover_model::id::EnvironmentName;

#[derive(Debug, Subcommand)]
pub enum EnvironmentCommand {
    /// Make an environment
    Create { name: EnvironmentName },
    /// List environments with their databases and agents
    List,
}

#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Make a one-time token, valid for an hour, with which an agent joins an environment
    Token { environment: EnvironmentName },
    /// List agents
    List,
}
