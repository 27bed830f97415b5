//! The command line: what can be asked, and with which options.

mod databases;
mod migrations;
mod people;
mod pipelines;
mod places;
mod wait;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use stopover_model::digest::Digest;
use stopover_model::id::{DatabaseName, EnvironmentName, HookName, MigrationId, PipelineName};

pub use databases::{
    AdoptArgs, AppliedArgs, BackupCommand, BaselineArgs, DriftArgs, PurgeSavedArgs, RestoreArgs,
    RestoreSavedArgs, SavedCommand, VerifyArgs,
};
pub use migrations::{DeployArgs, LintArgs, LintFormat, Migrations, PlanArgs, PlanFormat, RehearseArgs};
pub use people::{
    AuditCommand, ContextCommand, CreateTokenArgs, GoodFor, LoginArgs, PersonCommand, TokenCommand,
    VerifyAuditArgs,
};
pub use pipelines::{ApplyArgs, ApplyHow, PipelineCommand};
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
    /// People: whom the accounts of the identity provider stand for
    #[command(subcommand)]
    Person(PersonCommand),
    /// Contexts: several servers, each with its token
    #[command(subcommand)]
    Context(ContextCommand),
    /// The audit log: who asked what, and whether it is whole
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Pipelines: the way from one environment to the next
    #[command(subcommand)]
    Pipeline(PipelineCommand),
    /// Show what files of pipelines change in the stored ones, and store them: `pipeline apply` for several
    ///
    /// Nothing is stored before all of them are read and make sense.
    Apply(ApplyArgs),
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
