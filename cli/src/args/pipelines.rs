//! Pipelines: what is stored, and what is looked at before.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stopover_model::id::PipelineName;

#[derive(Debug, Subcommand)]
pub enum PipelineCommand {
    /// Show what a file changes in the stored pipeline of its name, and store it
    ///
    /// On a terminal it asks before it stores; without one it shows the difference on standard error and stores.
    Apply(ApplyPipelineArgs),
    /// Show a pipeline
    Show { name: Option<PipelineName> },
}

#[derive(Debug, Args)]
pub struct ApplyPipelineArgs {
    /// The pipeline, in TOML
    pub file: PathBuf,
    #[command(flatten)]
    pub how: ApplyHow,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A pipeline, in TOML; may be given several times
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub how: ApplyHow,
}

#[derive(Debug, Args)]
pub struct ApplyHow {
    /// Store it without being asked
    #[arg(long)]
    pub yes: bool,
    /// Show the difference only, and store nothing; exit code 1 where there is one
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}
