//! `stopover pipeline apply` and `stopover apply`: shows what files change in the stored pipelines, asks, and stores them.

use std::path::{Path, PathBuf};

use stopover_model::pipeline::{Pipeline, StageSpec};
use stopover_proto::convert::field;
use stopover_proto::v1;
use tonic::{Code, Status};

use super::{Context, Shown};
use crate::answer::EnvironmentRow;
use crate::args::ApplyHow;
use crate::client::Control;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::render;
use crate::render::line::{Line, Tone, text};

/// What the server has under the file's name.
#[derive(Debug, PartialEq, Eq)]
enum Stored {
    Nothing,
    /// The same text.
    Same {
        revision: u64,
    },
    Other {
        revision: u64,
        difference: Vec<Line>,
    },
    /// Something that the server itself can't read any more; storing over it is the way out.
    Unreadable {
        why: String,
    },
}

/// A file that was read.
struct Given {
    file: String,
    pipeline: Pipeline,
    toml: String,
}

/// What is wrong with a file is said before anything is sent. Exit code 1: `--dry-run` has found a difference.
pub(super) async fn run(context: &Context, files: &[PathBuf], how: &ApplyHow) -> Result<Exit, Failure> {
    let mut given: Vec<Given> = Vec::with_capacity(files.len());
    for path in files {
        let file = path.display().to_string();
        let (pipeline, toml) = read(path, &file, context)?;
        if let Some(other) = given.iter().find(|other| other.pipeline.name == pipeline.name) {
            let why =
                format!("{} and {file} both hold the pipeline {}; leave one out", other.file, pipeline.name);
            return Err(Failure::usage(why));
        }
        given.push(Given { file, pipeline, toml });
    }
    let mut control = context.control().await?;
    let mut exit = Exit::Done;
    for given in given {
        if apply(context.output, &mut control, given, how).await? != Exit::Done {
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

async fn apply(output: Output, control: &mut Control, given: Given, how: &ApplyHow) -> Result<Exit, Failure> {
    let Given { file, pipeline, toml } = given;
    let request = v1::GetPipelineRequest { name: pipeline.name.to_string() };
    let answer = control.get_pipeline(request).await.map(tonic::Response::into_inner);
    let stored = Stored::of(answer, &pipeline, &file, &toml)?;
    if !output.json {
        show(output, &stored.lines(&pipeline), how.dry_run)?;
    }
    if how.dry_run {
        return dry(output, pipeline, &stored);
    }
    if let Stored::Same { revision } = stored {
        return tell(output, control, pipeline, revision, false).await;
    }
    // Without a terminal nobody is asked, and the file is stored: it is what a script said.
    if !how.yes && output.ask("store it? [y/N] ") == Some(false) {
        output.note(&Line::new().plain("nothing was changed"));
        return Err(Failure::silent(Exit::Usage));
    }
    let request = v1::ApplyPipelineRequest { toml, file };
    let answer = control.apply_pipeline(request).await?.into_inner();
    if answer.changed && answer.revision != stored.revision() + 1 && !output.json {
        let words = "somebody else has stored another revision since the difference was shown";
        output.note(&Line::of(Tone::Warn, "! ").plain(words));
    }
    let pipeline: Pipeline = field::message::read(answer.pipeline, "pipeline")?;
    tell(output, control, pipeline, answer.revision, answer.changed).await
}

fn read(path: &Path, file: &str, context: &Context) -> Result<(Pipeline, String), Failure> {
    let toml = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("could not read the pipeline {file}")).because(&error))?;
    let pipeline =
        stopover_lint::read_pipeline(file, &toml).map_err(|error| Failure::usage(error.to_string()))?;
    let windows = pipeline.check_windows(file, &toml, context.output.view().now);
    windows.map_err(|error| Failure::usage(error.to_string()))?;
    Ok((pipeline, toml))
}

/// The difference is the output proper where a person reads it or nothing else is asked for; else it stands beside it.
fn show(output: Output, lines: &[Line], proper: bool) -> Result<(), Failure> {
    if proper || output.live {
        return output.lines(lines);
    }
    for line in lines {
        output.note(line);
    }
    Ok(())
}

fn dry(output: Output, pipeline: Pipeline, stored: &Stored) -> Result<Exit, Failure> {
    let differs = !matches!(stored, Stored::Same { .. });
    if output.json {
        let difference = match stored {
            Stored::Other { difference, .. } => Some(text(difference)),
            _ => None,
        };
        let (revision, changed) = (stored.revision(), Some(differs));
        output.json(&Shown { pipeline, revision, changed, toml: None, difference })?;
    }
    Ok(if differs { Exit::Failed } else { Exit::Done })
}

/// What is stored now, and what a deployment through it would wait for.
async fn tell(
    output: Output,
    control: &mut Control,
    pipeline: Pipeline,
    revision: u64,
    changed: bool,
) -> Result<Exit, Failure> {
    if output.json {
        let changed = Some(changed);
        output.json(&Shown { pipeline, revision, changed, toml: None, difference: None })?;
        return Ok(Exit::Done);
    }
    let word = if changed { "is now" } else { "was and stays" };
    output.note(&Line::new().plain(format!("{} {word} at revision {revision}", pipeline.name)));
    output.lines(&render::pipeline::lines(&pipeline, revision, output.view()))?;
    let listed = control.list_environments(v1::ListEnvironmentsRequest {}).await?.into_inner();
    let there: Vec<EnvironmentRow> = field::messages::read(listed.environments, "environments")?;
    for missing in not_there(&pipeline, &there) {
        output.note(&Line::of(Tone::Warn, "! ").plain(missing));
    }
    Ok(Exit::Done)
}

impl Stored {
    fn of(
        answer: Result<v1::GetPipelineResponse, Status>,
        pipeline: &Pipeline,
        file: &str,
        toml: &str,
    ) -> Result<Self, Failure> {
        let stored = match answer {
            Ok(stored) => stored,
            Err(status) if status.code() == Code::NotFound => return Ok(Self::Nothing),
            // The request has nothing but a name, which was looked at here.
            Err(status) if status.code() == Code::InvalidArgument => {
                return Ok(Self::Unreadable { why: status.message().to_owned() });
            }
            Err(status) => return Err(status.into()),
        };
        let revision = stored.revision;
        if stored.toml == toml {
            return Ok(Self::Same { revision });
        }
        let before = format!("{}, revision {revision}", pipeline.name);
        let difference = render::difference::lines((&before, &stored.toml), (file, toml));
        Ok(Self::Other { revision, difference })
    }

    /// For a person.
    fn lines(&self, pipeline: &Pipeline) -> Vec<Line> {
        let name = &pipeline.name;
        match self {
            Self::Nothing => vec![Line::new().plain(format!("new pipeline {name}"))],
            Self::Same { revision } => {
                vec![Line::new().plain(format!("nothing changes in {name}, revision {revision}"))]
            }
            Self::Other { difference, .. } => difference.clone(),
            Self::Unreadable { why } => {
                let head = Line::of(Tone::Warn, "! ").plain(format!("the stored {name} can't be compared:"));
                std::iter::once(head).chain(why.lines().map(|line| Line::new().plain(line))).collect()
            }
        }
    }

    /// 0: there is none, or it is not known.
    fn revision(&self) -> u64 {
        match self {
            Self::Same { revision } | Self::Other { revision, .. } => *revision,
            Self::Nothing | Self::Unreadable { .. } => 0,
        }
    }
}

/// What a deployment through the pipeline would wait for.
fn not_there(pipeline: &Pipeline, environments: &[EnvironmentRow]) -> Vec<String> {
    let of_stage = |stage: &StageSpec| {
        let name = &stage.environment;
        let Some(environment) = environments.iter().find(|e| e.name == *name) else {
            return vec![format!("there is no environment {name} yet: stopover environment create {name}")];
        };
        let unserved =
            stage.databases.iter().filter(|d| environment.databases.iter().all(|row| row.name != **d));
        unserved
            .map(|d| format!("no agent of {name} serves the database {d} yet: stopover agent list"))
            .collect()
    };
    pipeline.stages.iter().flat_map(of_stage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample;

    fn stored(toml: &str) -> v1::GetPipelineResponse {
        v1::GetPipelineResponse { toml: toml.to_owned(), revision: 3, ..Default::default() }
    }

    fn looked(answer: Result<v1::GetPipelineResponse, Status>) -> Result<Stored, Failure> {
        Stored::of(answer, &sample::pipeline(), "pipeline.toml", "name = \"users-db\"\n")
    }

    #[test]
    fn a_pipeline_that_is_not_there_is_new() {
        let new = looked(Err(Status::not_found("there is no pipeline users-db"))).unwrap();
        assert_eq!(text(&new.lines(&sample::pipeline())), "new pipeline users-db\n");
    }

    #[test]
    fn the_same_text_changes_nothing() {
        let same = looked(Ok(stored("name = \"users-db\"\n"))).unwrap();
        assert_eq!(same, Stored::Same { revision: 3 });
        assert_eq!(text(&same.lines(&sample::pipeline())), "nothing changes in users-db, revision 3\n");
    }

    #[test]
    fn another_text_is_shown_as_a_difference_even_if_it_means_the_same() {
        let other = looked(Ok(stored("# ours\nname = \"users-db\"\n"))).unwrap();
        assert_eq!(other.revision(), 3);
        let shown = text(&other.lines(&sample::pipeline()));
        let heading = "--- users-db, revision 3\n+++ pipeline.toml\n";
        assert!(shown.starts_with(heading) && shown.contains("-# ours\n name"), "{shown}");
    }

    #[test]
    fn a_stored_pipeline_that_the_server_can_not_read_is_stored_over() {
        let broken = looked(Err(Status::invalid_argument("pipeline users-db:4:1: unknown field"))).unwrap();
        assert!(text(&broken.lines(&sample::pipeline())).contains("users-db:4:1: unknown field"));
    }

    #[test]
    fn a_server_that_is_away_is_no_new_pipeline() {
        assert_eq!(looked(Err(Status::unavailable("gone"))).unwrap_err().exit, Exit::Unreachable);
    }
}
