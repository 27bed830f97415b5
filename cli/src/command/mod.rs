//! One file a command. Each asks the server, and hands what it answers to the renderers.

pub(crate) mod acknowledge;
pub(crate) mod adopt;
pub(crate) mod agent;
mod applied;
pub(crate) mod approve;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod baseline;
pub(crate) mod cancel;
pub(crate) mod completions;
pub(crate) mod contexts;
pub(crate) mod deploy;
pub(crate) mod drift;
pub(crate) mod environment;
pub(crate) mod explain;
pub(crate) mod follow_ups;
pub(crate) mod hook;
pub(crate) mod lint;
pub(crate) mod list;
pub(crate) mod login;
pub(crate) mod notifications;
pub(crate) mod pause;
pub(crate) mod person;
pub(crate) mod pipeline;
pub(crate) mod plan;
pub(crate) mod rehearse;
pub(crate) mod resolve;
pub(crate) mod resume;
pub(crate) mod rollback;
pub(crate) mod saved;
pub mod show;
pub(crate) mod statements;
pub(crate) mod status;
pub(crate) mod throttle;
pub(crate) mod tick;
pub(crate) mod token;
pub(crate) mod watch;
pub(crate) mod whoami;

pub(crate) use deploy::create as create_deployment;
pub(crate) use plan::show as show_plan;
pub(crate) use status::fetch;

use crate::args::Global;
use crate::client::{self, Control};
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::render::line::Line;
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

    /// Before something is lost: a person types a name. Without a terminal only `--yes` agrees.
    fn typed(&self, yes: bool, question: &str, expected: &str) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        match self.output.read_line(question) {
            Some(answer) if answer == expected => Ok(()),
            Some(_) => Err(Failure::usage(format!("that is not {expected}; nothing was changed"))),
            None => Err(nobody_to_ask()),
        }
    }

    /// Before something is changed: a person says yes. Without a terminal only `--yes` agrees.
    fn agreed(&self, yes: bool, question: &str) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        match self.output.ask(question) {
            Some(true) => Ok(()),
            Some(false) => {
                self.output.note(&Line::new().plain("nothing was changed"));
                Err(Failure::silent(Exit::Usage))
            }
            None => Err(nobody_to_ask()),
        }
    }

    /// The configured server's address.
    fn server(&self) -> Result<String, Failure> {
        let settings = Settings::find(&self.global, &Environment::of_the_process())?;
        Ok(settings.server.to_string().trim_end_matches('/').to_owned())
    }
}

fn nobody_to_ask() -> Failure {
    Failure::usage("nothing was changed: there is no terminal to ask on")
        .with_hint("look through it, and say the same with --yes")
}
