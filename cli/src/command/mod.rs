//! One file a command. Each asks the server, and hands what it answers to the renderers.

pub(crate) mod adopt;
pub(crate) mod agent;
mod applied;
pub(crate) mod baseline;
pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod drift;
pub(crate) mod environment;
pub(crate) mod lint;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod pipeline;
pub(crate) mod plan;
pub(crate) mod resolve;
pub(crate) mod resume;
pub(crate) mod rollback;
pub mod show;
pub(crate) mod statements;
pub(crate) mod status;
pub(crate) mod throttle;
pub(crate) mod watch;

pub(crate) use deploy::create as create_deployment;
pub(crate) use plan::show as show_plan;

use crate::args::Global;
use crate::client::{self, Control};
use crate::failure::Failure;
use crate::output::Output;
use crate::settings::{Environment, Settings};

/// What every command needs.
pub struct Context {
    pub global: Global,
    pub output: Output,
}

impl Context {
    /// Connects to the configured server.
    pub async fn control(&self) -> Result<Control, Failure> {
        let settings = Settings::find(&self.global, &Environment::of_the_process())?;
        client::connect(&settings).await
    }

    /// The configured server's address.
    fn server(&self) -> Result<String, Failure> {
        let settings = Settings::find(&self.global, &Environment::of_the_process())?;
        Ok(settings.server.to_string().trim_end_matches('/').to_owned())
    }
}
