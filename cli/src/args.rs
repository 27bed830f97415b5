//! The command line: what can be asked, and with which options.

mod people;
mod pipelines;
mod places;
mod wait;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};
use stopover_lint::Selector;
use stopover_model::digest::Digest;
use stopover_model::history::Tool;
use stopover_model::id::{DatabaseName, EnvironmentName, HookName, MigrationId, PipelineName, SavedId};
use stopover_model::layout::Layout;

pub use people::{
    AuditCommand, ContextCommand, CreateTokenArgs, GoodFor, LoginArgs, TokenCommand, VerifyAuditArgs,
};
pub use pipelines::{ApplyPipelineArgs, PipelineCommand};
pub use places::{AgentCommand, EnvironmentCommand};
pub use wait::WaitFor;

const EXIT_CODES: &str = "\
Exit codes:
  0    done; for deploy and watch: the deployment succeeded, or the stage of --wait did
  1    the deployment failed, was rolled back or cancelled, the server refused the request,
       lint has a finding, drift found some, or pipeline apply --dry-run has a difference
  2    wrong usage or bad input; nothing was changed
  3    the server could not be reached
  130  detached with Ctrl-C; the deployment goes on

Configuration: ~/.config/stopover/config.toml (or $STOPOVER_CONFIG) with the keys server, token_file or token, and ca.
Tokens never stand in the command line: use --token-file, $STOPOVER_TOKEN or the configuration.";

/// Takes database migrations from one environment to the next, with backups, proof and a way back.
#[derive(Debug, Parser)]
#[command(name = "stopover", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Default, Args)]
#[expect(clippy::doc_markdown, reason = "the comments are the help's text")]
pub struct Global {
    /// The server, such as https://stopover.example.com:7443
    #[arg(long, global = true, env = "STOPOVER_SERVER", value_name = "URL", help_heading = "Global options")]
    pub server: Option<String>,
    /// A file with the operator's token, readable by its owner only; else $STOPOVER_TOKEN is used
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub token_file: Option<PathBuf>,
    /// The certificate (PEM) of the authority that certifies the server; else the system's authorities are trusted
    #[arg(long, global = true, env = "STOPOVER_CA", value_name = "FILE", help_heading = "Global options")]
    pub ca: Option<PathBuf>,
    /// The context to use; else the one of `stopover context use`
    #[arg(
        long,
        global = true,
        env = "STOPOVER_CONTEXT",
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub context: Option<String>,
    /// Print JSON: one object, or one a line where there is a stream
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        help_heading = "Global options"
    )]
    pub color: Color,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
#[expect(clippy::doc_markdown, reason = "the comments are the help's text")]
pub enum Color {
    /// On a terminal, unless $NO_COLOR is set
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a deployment would do where, why, and for how long; changes nothing
    Plan(PlanArgs),
    /// Deploy migrations and watch them travel
    Deploy(DeployArgs),
    /// Try migrations on a restored copy of an environment's databases: up, verify, down, up again; applies nothing
    Rehearse(RehearseArgs),
    /// Watch a deployment; Ctrl-C only detaches
    Watch {
        #[command(flatten)]
        id: Id,
    },
    /// Show a deployment in full, or the latest ones
    Status {
        /// The deployment's id, or the beginning of it
        id: Option<String>,
        /// Only this database, with all of its steps
        #[arg(long, value_name = "NAME", requires = "id")]
        database: Option<DatabaseName>,
    },
    /// List deployments, newest first
    List {
        /// How many
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200), value_name = "N")]
        limit: u32,
    },
    /// Stop a deployment; what was applied stays
    Cancel {
        #[command(flatten)]
        id: Id,
    },
    /// Take a stage of a deployment back: what would be lost, a backup, down.sql, and the proof that it is gone
    Rollback(RollbackArgs),
    /// Let running steps end and start no other
    Pause {
        #[command(flatten)]
        id: Id,
        /// Shown to everybody who looks
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// Go on, and try again what failed: a step, or a rollback
    Resume(ResumeArgs),
    /// Agree to what is planned for a stage that needs approvals; never one's own deployment, and each person once
    Approve(ApproveArgs),
    /// Say no to what is planned for a stage: the deployment is held until somebody resumes or cancels it
    Reject(RejectArgs),
    /// Say that an item of a stage's checklist is done
    Tick(TickArgs),
    /// Say that a hook has passed which is waited for, such as a test that CI runs
    Pass(HookArgs),
    /// Say that a hook has failed which is waited for
    Fail(FailArgs),
    /// Say what a deployment waits for: since when, until when, who can resolve it, and with which command
    Explain {
        #[command(flatten)]
        id: Id,
    },
    /// Change how fast a deployment's backfills go, at once and until it ends
    Throttle(ThrottleArgs),
    /// Say what is true of a step whose outcome is UNKNOWN, or of a rollback that failed, after looking at the database
    Resolve(ResolveArgs),
    /// Show what is looked at after a deployment has ended; exit code 1 where one failed and nobody has acknowledged it
    FollowUps {
        #[command(flatten)]
        id: Id,
    },
    /// Say that you know of a failed follow-up, and that the same migration may go on elsewhere
    Acknowledge(AcknowledgeArgs),
    /// Take over what another migration tool has applied, from its history table
    Adopt(AdoptArgs),
    /// Count migrations as applied on your word, where no history says so
    Baseline(BaselineArgs),
    /// Show what others have changed since Stopover last left the schema, and accept it; exit code 1 where there is drift
    Drift(DriftArgs),
    /// Backups: which there are, whether one is what it was, and to have it back
    #[command(subcommand)]
    Backup(BackupCommand),
    /// What migrations and rollbacks have dropped, and Stopover has kept: list, put back, purge
    #[command(subcommand)]
    Saved(SavedCommand),
    /// Show the statements of an SQL file, and which may share a transaction; needs no server
    Statements {
        /// The SQL file
        file: PathBuf,
    },
    /// Find what would block or break a database in use, with the way out; for CI, needs no server
    Lint(LintArgs),
    /// Environments: where migrations go
    #[command(subcommand)]
    Environment(EnvironmentCommand),
    /// Agents: who works beside the databases of an environment
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Tokens: who may ask this server for something
    #[command(subcommand)]
    Token(TokenCommand),
    /// Keep a token, read from the terminal or from standard input, for this server
    Login(LoginArgs),
    /// Forget the token of the context in use
    Logout,
    /// Show who the server takes you for, and what you may do where
    Whoami,
    /// Contexts: several servers, each with its token
    #[command(subcommand)]
    Context(ContextCommand),
    /// The audit log: who asked what, and whether it is whole
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Pipelines: the way from one environment to the next
    #[command(subcommand)]
    Pipeline(PipelineCommand),
    /// Notifications: what people were told, and whether they can be
    #[command(subcommand)]
    Notifications(NotificationsCommand),
    /// Try everything on this machine: server, two agents and two throwaway databases
    Dev(DevArgs),
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Subcommand)]
pub enum NotificationsCommand {
    /// List what people were told, or are to be, newest first
    List {
        /// Only what was given up
        #[arg(long)]
        failed: bool,
        /// How many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500), value_name = "N")]
        limit: u32,
    },
    /// Send a trial to everybody whom a pipeline tells; exit code 1 where it did not arrive
    Test {
        /// The pipeline; needed when the server has several
        pipeline: Option<PipelineName>,
    },
}

#[derive(Debug, Args)]
pub struct Id {
    /// The deployment's id, or the beginning of it
    pub id: String,
}

#[derive(Debug, Args)]
pub struct Migrations {
    /// A migration's directory (up.sql, and optionally up.batch.sql, down.sql and migration.toml), or a directory of
    /// many migrations, such as golang-migrate's; several are applied in the order given
    #[arg(required = true, value_name = "DIR")]
    pub directories: Vec<PathBuf>,
    /// How the directories are laid out; else it is found out
    #[arg(long, value_name = "LAYOUT", value_parser = layouts())]
    pub layout: Option<Layout>,
    /// The pipeline to travel through; needed when the server has several
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<PipelineName>,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub migrations: Migrations,
    /// How to print the plan; --json is the same as --format json
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<PlanFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    Text,
    Json,
    /// For a comment on a merge request, on GitHub and GitLab alike
    Markdown,
}

#[derive(Debug, Args)]
pub struct DeployArgs {
    #[command(flatten)]
    pub migrations: Migrations,
    /// Print the deployment's id and leave
    #[arg(long, conflicts_with = "watch")]
    pub detach: bool,
    /// Watch until the end (the default)
    #[arg(long)]
    pub watch: bool,
    /// Watch until this stage has succeeded, and leave the deployment to go on: stage=production
    #[arg(long, value_name = "stage=ENVIRONMENT", conflicts_with_all = ["detach", "watch"])]
    pub wait: Option<WaitFor>,
    /// Refuse to deploy anything but what `stopover plan` showed with this digest
    #[arg(long, value_name = "DIGEST")]
    pub expect_digest: Option<Digest>,
    /// Apply again what was rolled back before, with the same content; the deployment's log keeps why
    #[arg(long, value_name = "WHY", value_parser = NonEmptyStringValueParser::new())]
    pub again: Option<String>,
    /// Once they are applied, put back what earlier rollbacks of the migrations have dropped (`stopover plan` names it)
    #[arg(long)]
    pub restore_saved: bool,
}

#[derive(Debug, Args)]
pub struct RehearseArgs {
    #[command(flatten)]
    pub migrations: Migrations,
    /// Whose databases are backed up, restored and tried on
    #[arg(long, value_name = "ENVIRONMENT")]
    pub environment: EnvironmentName,
    /// Only this database of the environment; may be given several times
    #[arg(long, value_name = "NAME")]
    pub database: Vec<DatabaseName>,
    /// Run what reaches beyond the database as well: roles, other databases, files of the server
    #[arg(long)]
    pub allow_cluster_effects: bool,
    /// Print the rehearsal's id and leave
    #[arg(long)]
    pub detach: bool,
}

const LINT_HELP: &str = "\
What is allowed is not shown; what is refused makes the exit code 1. The rules are
squawk's, under squawk's names, and ours, which begin with stopover/. A rule that
is named by itself comes before `all`.

In the SQL, `-- squawk-ignore RULE, RULE -- why` takes rules away from its own line,
the next one and the statement directly below; `-- squawk-ignore-file RULE` from the
script that it stands in (in goose's and dbmate's files: the section).

--json prints one object:
  findings  each with file, line, column (from 1, in characters), end { line, column }
            (behind the last character), rule, severity (warn, refuse), message, and
            where there is one: url, help, note, rewrite { title, sql }
  unread    file, line, why: what could not be looked at in full; whether it is right
            is for PostgreSQL to say
  ignored, warned, refused, scripts
            how many";

#[derive(Debug, Args)]
#[command(after_long_help = LINT_HELP)]
pub struct LintArgs {
    /// A migration's directory, a directory of many migrations, or an SQL file
    #[arg(required_unless_present = "rules", value_name = "DIR")]
    pub paths: Vec<PathBuf>,
    /// How the directories are laid out; else it is found out
    #[arg(long, value_name = "LAYOUT", value_parser = layouts())]
    pub layout: Option<Layout>,
    /// Don't show what this rule finds; `all` for every rule
    #[arg(long, value_name = "RULE")]
    pub allow: Vec<Selector>,
    /// Show what this rule finds, as is the default for most; `all` for every rule
    #[arg(long, value_name = "RULE")]
    pub warn: Vec<Selector>,
    /// Fail on what this rule finds; `all` for every rule that is on
    #[arg(long, value_name = "RULE")]
    pub refuse: Vec<Selector>,
    /// How to print findings; --json is the same as --format json
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<LintFormat>,
    /// List the rules with what they find and their severity
    #[arg(long)]
    pub rules: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    /// For people
    Text,
    Json,
    /// Annotations of a GitHub workflow, with paths from where this runs: the root of the repository
    Github,
}

#[derive(Debug, Args)]
pub struct AcknowledgeArgs {
    #[command(flatten)]
    pub id: Id,
    /// The follow-up, as it stands in migration.toml
    pub name: String,
    /// Why it may go on
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Only that of this migration
    #[arg(long, value_name = "MIGRATION")]
    pub migration: Option<MigrationId>,
}

#[derive(Debug, Args)]
pub struct ThrottleArgs {
    #[command(flatten)]
    pub id: Id,
    /// How long a batch should take: the time for which it holds its row locks
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub batch_time: Option<Duration>,
    /// Rows that are touched in a second, at most
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_rate: Option<u32>,
    /// How long to rest between two batches
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub pause_between: Option<Duration>,
    /// Begin no further batch
    #[arg(long, conflicts_with = "resume")]
    pub pause: bool,
    /// Go on with the batches
    #[arg(long)]
    pub resume: bool,
    /// Forget what was said before: the speed that the script and the pipeline say counts again
    #[arg(long)]
    pub reset: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    match stopover_model::duration::parse(text) {
        Ok(Duration::ZERO) => Err("a time of nothing is none; leave the option out".to_owned()),
        read => read,
    }
}

#[derive(Debug, Args)]
pub struct ApproveArgs {
    #[command(flatten)]
    pub id: Id,
    /// The environment; else the stage that waits
    #[arg(long, value_name = "ENVIRONMENT")]
    pub stage: Option<EnvironmentName>,
    /// Why; kept in the deployment's log
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub reason: String,
    /// Refuse to approve anything but the plan that `stopover explain` showed with this digest
    #[arg(long, value_name = "DIGEST")]
    pub expect_digest: Option<Digest>,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    #[command(flatten)]
    pub id: Id,
    /// Do not wait for the stage's window, nor for the end of a freeze; for administrators
    #[arg(long, requires = "reason")]
    pub override_window: bool,
    /// Try only this database again; may be given several times
    #[arg(long, value_name = "NAME", conflicts_with = "override_window")]
    pub database: Vec<DatabaseName>,
    /// Go on without this database, in which nothing of the deployment is
    #[arg(long, value_name = "NAME", conflicts_with_all = ["override_window", "database"])]
    pub leave_out: Option<DatabaseName>,
    /// Why; kept in the deployment's log
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: Option<String>,
    /// The environment whose window is meant; else the stage that waits
    #[arg(long, value_name = "ENVIRONMENT", requires = "override_window")]
    pub stage: Option<EnvironmentName>,
}

#[derive(Debug, Args)]
pub struct RejectArgs {
    #[command(flatten)]
    pub id: Id,
    /// The environment; else the stage that waits
    #[arg(long, value_name = "ENVIRONMENT")]
    pub stage: Option<EnvironmentName>,
    /// Why; shown to everybody who looks
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
}

#[derive(Debug, Args)]
pub struct HookArgs {
    #[command(flatten)]
    pub id: Id,
    /// Its name, as `stopover status` shows it
    pub hook: HookName,
    /// What shows it, for those who look later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub reason: Option<String>,
    /// The environment; else the one in which a hook of this name is waited for
    #[arg(long, value_name = "ENVIRONMENT")]
    pub stage: Option<EnvironmentName>,
}

#[derive(Debug, Args)]
pub struct FailArgs {
    #[command(flatten)]
    pub id: Id,
    /// Its name, as `stopover status` shows it
    pub hook: HookName,
    /// What went wrong
    #[arg(long, value_name = "TEXT", default_value = "no reason was given", value_parser = NonEmptyStringValueParser::new())]
    pub reason: String,
    /// The environment; else the one in which a hook of this name is waited for
    #[arg(long, value_name = "ENVIRONMENT")]
    pub stage: Option<EnvironmentName>,
}

#[derive(Debug, Args)]
pub struct TickArgs {
    #[command(flatten)]
    pub id: Id,
    /// Its text, as `stopover status` shows it; several may be given
    #[arg(required = true, value_name = "ITEM")]
    pub items: Vec<String>,
    /// The environment; else the first one that has such an item
    #[arg(long, value_name = "ENVIRONMENT")]
    pub stage: Option<EnvironmentName>,
}

#[derive(Debug, Args)]
pub struct RollbackArgs {
    #[command(flatten)]
    pub id: Id,
    /// The environment; else the last one in which something of the deployment is
    #[arg(long, value_name = "ENVIRONMENT")]
    pub stage: Option<EnvironmentName>,
    /// Take back only what came after this migration, which stays
    #[arg(long, value_name = "MIGRATION")]
    pub to: Option<MigrationId>,
    /// Show what would be taken, lost and blocked, and end
    #[arg(long, conflicts_with_all = ["detach", "yes"])]
    pub plan: bool,
    /// Take it back without being asked
    #[arg(long)]
    pub yes: bool,
    /// Ask for it and leave
    #[arg(long)]
    pub detach: bool,
}

#[derive(Debug, Args)]
// Asked for as a pair: an error that names one of them alone would suggest the answer.
#[command(group(clap::ArgGroup::new("truth").required(true)))]
pub struct ResolveArgs {
    #[command(flatten)]
    pub id: Id,
    /// The change is in the database
    #[arg(long, group = "truth")]
    pub applied: bool,
    /// The change is not in the database
    #[arg(long, group = "truth")]
    pub not_applied: bool,
    /// Which step, when several are UNKNOWN: its environment
    #[arg(long, value_name = "ENVIRONMENT")]
    pub stage: Option<EnvironmentName>,
    /// Which step, when several are UNKNOWN: its database
    #[arg(long, value_name = "NAME")]
    pub database: Option<DatabaseName>,
}

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

#[derive(Debug, Args)]
pub struct DevArgs {
    /// Work in this directory, which must be empty or new, and leave it there; else in a temporary one
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Leave the temporary directory (logs, backups, configuration) there at the end
    #[arg(long)]
    pub keep: bool,
    /// The demonstration: plan, deploy, verify and roll back this migration, then end
    #[arg(long, value_name = "DIR")]
    pub exit_after_deploy: Option<PathBuf>,
    /// How many users staging has
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub users_staging: u64,
    /// How many users production has
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub users_production: u64,
}

/// With the names in the help and in completions.
fn layouts() -> impl clap::builder::TypedValueParser<Value = Layout> {
    PossibleValuesParser::new(Layout::ALL.map(Layout::name)).try_map(|name| name.parse::<Layout>())
}

fn tools() -> impl clap::builder::TypedValueParser<Value = Tool> {
    PossibleValuesParser::new(Tool::ALL.map(Tool::name)).try_map(|name| name.parse::<Tool>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, ErrorKind> {
        Cli::try_parse_from(line.split(' ')).map_err(|e| e.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_behind_the_command() {
        for line in ["stopover --json --server https://h list", "stopover list --json --server https://h"] {
            let cli = parse(line).unwrap();
            assert!(cli.global.json && cli.global.server.as_deref() == Some("https://h"), "{line}");
        }
    }

    #[test]
    fn several_directories_keep_their_order() {
        let Command::Deploy(args) = parse("stopover deploy b a --pipeline p").unwrap().command else {
            panic!()
        };
        assert_eq!(args.migrations.directories, [PathBuf::from("b"), PathBuf::from("a")]);
        assert!(!args.detach);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, kind) in [
            ("stopover deploy", ErrorKind::MissingRequiredArgument),
            ("stopover deploy a --detach --watch", ErrorKind::ArgumentConflict),
            ("stopover deploy a --detach --wait stage=staging", ErrorKind::ArgumentConflict),
            ("stopover deploy a --wait staging", ErrorKind::ValueValidation),
            ("stopover pipeline apply p.toml --dry-run --yes", ErrorKind::ArgumentConflict),
            ("stopover plan a --layout rails", ErrorKind::InvalidValue),
            ("stopover adopt", ErrorKind::MissingRequiredArgument),
            ("stopover adopt staging --tool alembic", ErrorKind::InvalidValue),
            ("stopover baseline staging .", ErrorKind::MissingRequiredArgument),
            ("stopover drift", ErrorKind::MissingRequiredArgument),
            ("stopover drift staging --yes", ErrorKind::MissingRequiredArgument),
            ("stopover saved purge", ErrorKind::MissingRequiredArgument),
            ("stopover saved purge --older-than 90d", ErrorKind::MissingRequiredArgument),
            ("stopover saved restore x", ErrorKind::ValueValidation),
            ("stopover saved restore 0123456789 --yes", ErrorKind::MissingRequiredArgument),
            ("stopover statements", ErrorKind::MissingRequiredArgument),
            ("stopover backup restore x", ErrorKind::MissingRequiredArgument),
            ("stopover backup restore x --as y --over-live", ErrorKind::ArgumentConflict),
            ("stopover backup restore x --as y --yes", ErrorKind::ArgumentConflict),
            ("stopover deploy a --expect-digest 12", ErrorKind::ValueValidation),
            ("stopover rollback x --plan --yes", ErrorKind::ArgumentConflict),
            ("stopover deploy a --again", ErrorKind::InvalidValue),
            ("stopover reject x", ErrorKind::MissingRequiredArgument),
            ("stopover reject x --reason=", ErrorKind::InvalidValue),
            ("stopover tick x", ErrorKind::MissingRequiredArgument),
            ("stopover token create Anna --admin", ErrorKind::ValueValidation),
            ("stopover token create anna --admin --expires 0s", ErrorKind::ValueValidation),
            ("stopover token create anna --group group:dba", ErrorKind::ValueValidation),
            ("stopover token create anna --role operator", ErrorKind::ValueValidation),
            ("stopover token create anna", ErrorKind::MissingRequiredArgument),
            ("stopover resolve x", ErrorKind::MissingRequiredArgument),
            ("stopover resolve x --applied --not-applied", ErrorKind::ArgumentConflict),
            ("stopover environment create Production", ErrorKind::ValueValidation),
            ("stopover list --limit 0", ErrorKind::ValueValidation),
            ("stopover --token secret list", ErrorKind::UnknownArgument),
            ("stopover launch", ErrorKind::InvalidSubcommand),
        ] {
            assert_eq!(parse(line).unwrap_err(), kind, "{line}");
        }
    }

    #[test]
    fn resolve_suggests_neither_answer() {
        let error = Cli::try_parse_from(["stopover", "resolve", "x"]).unwrap_err().to_string();
        assert!(error.contains("<--applied|--not-applied>"), "{error}");
    }

    #[test]
    fn help_documents_the_exit_codes() {
        let help = Cli::command().render_help().to_string();
        for code in [
            "0    done",
            "1    the deployment failed",
            "2    wrong usage",
            "3    the server",
            "130  detached",
        ] {
            assert!(help.contains(code), "{code}");
        }
    }
}
