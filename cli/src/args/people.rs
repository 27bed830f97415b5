//! Who asks: tokens, logins, contexts; and what was asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use stopover_model::id::{GroupName, OperatorName, TokenId};
use stopover_model::role::Grant;

use super::duration;

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token, which is shown once; for administrators of the environments in which it gets a role
    Create(CreateTokenArgs),
    /// List tokens, by the names of those who hold them
    List,
    /// Make a token useless at once; for administrators
    Revoke {
        /// As `stopover token list` shows it
        id: TokenId,
    },
}

#[derive(Debug, Args)]
pub struct CreateTokenArgs {
    /// Whose it is: a person's name, or a program's; whoever holds several is one person
    pub name: OperatorName,
    /// What it may do where: viewer, operator, approver or admin, of one environment or, as in viewer@*, of all; may be
    /// given several times
    #[arg(long, value_name = "ROLE@ENVIRONMENT", required_unless_present_any = ["admin", "group"])]
    pub role: Vec<Grant>,
    /// A group that a pipeline's `approvers` may name, and to which the server's settings may give roles; may be given
    /// several times
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<GroupName>,
    /// How long it is good, such as 90d; or never
    #[arg(long, default_value = "90d", value_name = "TIME", value_parser = good_for)]
    pub expires: GoodFor,
    /// The same as --role admin@*
    #[arg(long)]
    pub admin: bool,
}

/// How long a token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoodFor {
    Ever,
    Time(Duration),
}

fn good_for(text: &str) -> Result<GoodFor, String> {
    if text == "never" {
        return Ok(GoodFor::Ever);
    }
    duration(text).map(GoodFor::Time).map_err(|why| format!("{why}; or write never"))
}

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The context that keeps it; else it is called as the server's host
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// Sign in at the server's identity provider, with a code for a browser on any machine; this is what happens by itself
    /// where the server names a provider and no token comes from a pipe
    #[arg(long, conflicts_with = "token")]
    pub oidc: bool,
    /// Ask for a token, though the server names an identity provider
    #[arg(long)]
    pub token: bool,
}

#[derive(Debug, Subcommand)]
pub enum ContextCommand {
    /// List contexts; the one in use is marked
    List,
    /// Use a context from now on
    Use { name: String },
    /// Make a context of --server, and of --ca and --token-file where they are given
    Add { name: String },
    /// Forget a context with its token
    Remove { name: String },
}

#[derive(Debug, Subcommand)]
pub enum PersonCommand {
    /// List whom accounts of the identity provider stand for; for administrators
    List,
    /// Give a name away: whoever signs in with it next has it; for an account that was made anew, or is called otherwise
    Forget { name: OperatorName },
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Show who asked what of the server, and what became of it
    List {
        /// Only what is younger, such as 1d
        #[arg(long, value_name = "TIME", value_parser = duration)]
        since: Option<Duration>,
        /// Only what this operator or agent asked
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
    },
    /// Print the whole log with its hashes and its signed head, a JSON object a line
    Export,
    /// Check that nothing was changed, removed or cut off, and name the first broken link; else of the server's log
    Verify(VerifyAuditArgs),
}

#[derive(Debug, Args)]
pub struct VerifyAuditArgs {
    /// What `stopover audit export` printed
    #[arg(conflicts_with = "database")]
    pub file: Option<PathBuf>,
    /// The server's store itself: its file, or postgres://...
    #[arg(long, value_name = "FILE|URL")]
    pub database: Option<String>,
    /// The server's audit.pub; else the one beside the file of --database, or the one that the log came with
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The heads that the server has signed, which the log has to fit: its audit.heads, or the calls that its webhook got
    #[arg(long, value_name = "FILE")]
    pub heads: Option<PathBuf>,
}
