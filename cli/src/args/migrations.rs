//! What is given a directory of migrations: plan, deploy, rehearse, lint.

use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};
use stopover_lint::Selector;
use stopover_model::digest::Digest;
use stopover_model::id::{DatabaseName, EnvironmentName, PipelineName};
use stopover_model::layout::Layout;

use super::WaitFor;

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

/// With the names in the help and in completions.
pub(super) fn layouts() -> impl clap::builder::TypedValueParser<Value = Layout> {
    PossibleValuesParser::new(Layout::ALL.map(Layout::name)).try_map(|name| name.parse::<Layout>())
}
