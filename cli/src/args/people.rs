//! Who may do what: tokens.

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
