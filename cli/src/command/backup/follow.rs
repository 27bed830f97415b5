//! Shows how far an agent is with a backup, to its end.

use jiff::Timestamp;
use stopover_model::backup::BackupUpdate;
use stopover_model::report::{LogLine, StepError};
use stopover_proto::convert::field;
use stopover_proto::v1;
use tonic::Streaming;

use crate::failure::{Exit, Failure};
use crate::live::{OneBar, Screen};
use crate::output::Output;
use crate::render;
use crate::render::line::Line;

pub(super) enum Ended {
    With(BackupUpdate),
    /// By Ctrl-C.
    Interrupted,
}

/// Follows it. Leaving ends it.
pub(super) async fn to_the_end(
    output: Output,
    mut updates: Streaming<v1::BackupUpdate>,
) -> Result<Ended, Failure> {
    let screen = output.live.then(|| Screen::new(output));
    let mut bar = OneBar::default();
    loop {
        let update = tokio::select! {
            update = updates.message() => update?,
            _ = tokio::signal::ctrl_c() => return Ok(Ended::Interrupted),
        };
        let Some(update) = update else {
            return Err(Failure::unreachable(
                "the server ended the call before the end; it is being stopped",
            )
            .with_hint("run the same command again"));
        };
        match field::direct::read(update, "update")? {
            BackupUpdate::Line(line) => say(output, screen.as_ref(), &line)?,
            BackupUpdate::Progress(progress) => {
                if let Some(screen) = &screen {
                    let (view, _) = screen.view(Timestamp::now());
                    screen.draw(&[bar.line(&progress, view)]);
                }
            }
            end => {
                if let Some(screen) = screen {
                    screen.clear();
                }
                return Ok(Ended::With(end));
            }
        }
    }
}

fn say(output: Output, screen: Option<&Screen>, line: &LogLine) -> Result<(), Failure> {
    let LogLine::Message { text } = line else { return Ok(()) };
    let line = Line::new().plain(text);
    match screen {
        Some(screen) => screen.above(&line),
        None if output.json => output.note(&line),
        None => output.lines(&[line])?,
    }
    Ok(())
}

/// Says what the agent could not do.
pub(super) fn failed(output: Output, error: &StepError) -> Result<Failure, Failure> {
    if output.json {
        output.json(&Failed { error })?;
    }
    for line in &render::error::lines(error, output.view().width) {
        output.note(line);
    }
    Ok(Failure::silent(Exit::Failed))
}

#[derive(serde::Serialize)]
struct Failed<'a> {
    error: &'a StepError,
}
