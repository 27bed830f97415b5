//! What is asked of an environment's databases: what counts as applied there, drift, backups, and what was saved.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use stopover_model::history::Tool;
use stopover_model::id::{DatabaseName, EnvironmentName, SavedId};
use stopover_model::layout::Layout;

use super::migrations::layouts;

/// What counts as applied without having been run.
#[derive(Debug, Args)]
pub struct AppliedArgs {
    /// The environment whose databases are meant
    pub environment: EnvironmentName,
    /// The directory of the migrations
    #[arg(value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// How the directory is laid out; else it is found out
    #[arg(long, value_name = "LAYOUT", value_parser = layouts())]
    pub layout: Option<Layout>,
    /// Only this database of the environment
    #[arg(long, value_name = "NAME")]
    pub database: Option<DatabaseName>,
    /// Write it without being asked
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct AdoptArgs {
    #[command(flatten)]
    pub applied: AppliedArgs,
    /// Whose history, when a database holds several
    #[arg(long, value_name = "TOOL", value_parser = tools())]
    pub tool: Option<Tool>,
    /// Which table, when a database holds several histories of one tool
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Files that have changed since they were applied count all the same
    #[arg(long)]
    pub accept_changed: bool,
}

#[derive(Debug, Args)]
pub struct BaselineArgs {
    #[command(flatten)]
    pub applied: AppliedArgs,
    /// The last migration that is there already, with all before it
    #[arg(long, value_name = "ID")]
    pub through: String,
}

#[derive(Debug, Args)]
pub struct DriftArgs {
    /// The environment whose databases are meant
    pub environment: EnvironmentName,
    /// Only this database of the environment
    #[arg(long, value_name = "NAME")]
    pub database: Option<DatabaseName>,
    /// From now on the schema counts as known as it is; asks first
    #[arg(long)]
    pub accept: bool,
    /// Accept it without being asked
    #[arg(long, requires = "accept")]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// List backups, the newest of each database first
    List {
        /// Only those of this environment
        environment: Option<EnvironmentName>,
        /// Only those of this database
        #[arg(long, value_name = "NAME")]
        database: Option<DatabaseName>,
    },
    /// Show all that is known of a backup
    Show {
        /// The backup's id, or the beginning of it
        id: String,
    },
    /// Read all of a backup back, where it lies, and decode it
    Verify(VerifyArgs),
    /// Agree that a backup takes the place of the live database, where the environment needs approvals
    Approve {
        /// The backup's id, or the beginning of it
        id: String,
    },
    /// Bring a backup back: into a new database, or over the live one
    Restore(RestoreArgs),
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The backup's id, or the beginning of it
    pub id: String,
    /// Restore it as well, into a database that is dropped afterwards
    #[arg(long)]
    pub restore: bool,
    /// The file with an identity of age that opens an encrypted backup; it does not leave this machine
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("into").required(true).args(["as_name", "over_live"])))]
pub struct RestoreArgs {
    /// The backup's id, or the beginning of it
    pub id: String,
    /// Into a new database of this name, beside the live one
    #[arg(long = "as", value_name = "NAME")]
    pub as_name: Option<String>,
    /// Over the live database, after a fresh backup; the database as it is now is kept under another name
    #[arg(long)]
    pub over_live: bool,
    /// End the sessions of others in the live database
    #[arg(long, conflicts_with = "as_name")]
    pub disconnect_others: bool,
    /// The file with an identity of age that opens an encrypted backup; it does not leave this machine
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Replace the live database without being asked for its name
    #[arg(long, conflicts_with = "as_name")]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
pub enum SavedCommand {
    /// List what is kept in an environment's databases, the newest first
    List {
        /// The environment whose databases are meant
        environment: EnvironmentName,
        /// Only this database of the environment
        #[arg(long, value_name = "NAME")]
        database: Option<DatabaseName>,
        /// And what was purged, when and by whom
        #[arg(long)]
        purged: bool,
    },
    /// Show one, with the statements that bring it back
    Show {
        /// As `stopover saved list` shows it
        id: SavedId,
        /// Where to look; else in each environment
        #[arg(long, value_name = "ENVIRONMENT")]
        environment: Option<EnvironmentName>,
    },
    /// Put values back where nothing was written since, or a whole table under its name
    Restore(RestoreSavedArgs),
    /// Drop what is kept, for good; asks first
    Purge(PurgeSavedArgs),
}

#[derive(Debug, Args)]
pub struct RestoreSavedArgs {
    /// As `stopover saved list` shows it
    pub id: SavedId,
    /// Where to look; else in each environment
    #[arg(long, value_name = "ENVIRONMENT")]
    pub environment: Option<EnvironmentName>,
    /// Into this table, which is made of the saved values where it is not there
    #[arg(long, value_name = "TABLE")]
    pub into: Option<String>,
    /// Replace what the rows hold by now; asks first
    #[arg(long)]
    pub overwrite: bool,
    /// Replace it without being asked
    #[arg(long, requires = "overwrite")]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct PurgeSavedArgs {
    /// As `stopover saved list` shows them
    #[arg(required_unless_present = "older_than", conflicts_with = "older_than")]
    pub ids: Vec<SavedId>,
    /// Where to look; else in each environment
    #[arg(long, value_name = "ENVIRONMENT")]
    pub environment: Option<EnvironmentName>,
    /// All that was saved so long ago: 90d
    #[arg(long, value_name = "TIME", requires = "environment", value_parser = stopover_model::duration::parse)]
    pub older_than: Option<std::time::Duration>,
    /// Purge it without being asked
    #[arg(long)]
    pub yes: bool,
}

fn tools() -> impl clap::builder::TypedValueParser<Value = Tool> {
    PossibleValuesParser::new(Tool::ALL.map(Tool::name)).try_map(|name| name.parse::<Tool>())
}
