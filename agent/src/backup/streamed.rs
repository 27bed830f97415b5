//! A backup that goes into a bucket, or is encrypted: it is checked while it is made, and read back as it lies there.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use stopover_model::pipeline::BackupLevel;
use stopover_model::report::{BackupReport, ErrorClass, Progress, ProgressUnit, StepError};
use tokio::io::AsyncReadExt as _;

use super::archive;
use super::child::Program;
use super::facts::Facts;
use super::manifest::{self, Manifest};
use super::names::{DUMP, ENCRYPTED, MANIFEST, Names};
use super::programs::{self, Programs};
use super::proof::Proving;
use super::publish::Partial;
use super::restore::Restoring;
use super::scope::Scope;
use super::shelf::Shelf;
use super::stream::{self, End, StreamError, Streamed};
use super::{
    BackupRequest, BackupSettings, decode, disk_error, dump, restore_command, restore_point, space, toc,
};
use crate::scratch::Scratch;
use crate::step::StepContext;
use crate::vault::{self, Claim, Destination, Header};

/// What is given back of a file's beginning, to find its header in.
const BEGINNING: usize = 64 * 1024;

pub(super) async fn backup(
    context: &StepContext,
    settings: &BackupSettings,
    request: &BackupRequest,
) -> Result<BackupReport, StepError> {
    let destination = &settings.vault.destination;
    if let Some(manifest) = earlier(context, settings, request).await? {
        context.reporter.message("this attempt's backup is there already, and is what its manifest says");
        return Ok(manifest.report(destination.location(&manifest.file)));
    }
    remove_leftovers(context, settings).await?;
    if request.wanted.restore_point {
        restore_point::check(context).await?;
    }
    let facts = Facts::of(context, &request.system_identifier).await?;
    let programs = programs::find(&settings.programs, facts.server_version_num).await?;
    if let Destination::Directory(directory) = destination {
        space::check(directory, facts.tables_bytes)?;
    }
    let started = Timestamp::now();
    let mut place = Place::claim(context, settings, started).await?;
    let scratch = match request.wanted.level {
        BackupLevel::Restored => Some(Scratch::create(context).await?),
        BackupLevel::Recorded | BackupLevel::Decoded => None,
    };
    let about = (&facts, &programs, scratch.as_ref());
    let made = Box::pin(make(context, settings, request, about, &mut place, started)).await;
    let made = match scratch {
        Some(scratch) if made.is_ok() && request.keep_restored => {
            scratch.keep_for_rehearsal(context).await.and(made)
        }
        Some(scratch) => {
            scratch.remove().await;
            made
        }
        None => made,
    };
    match made {
        Ok(manifest) => place.publish(settings, manifest).await,
        Err(error) => {
            place.abandon(context).await;
            Err(error)
        }
    }
}

async fn make(
    context: &StepContext,
    settings: &BackupSettings,
    request: &BackupRequest,
    (facts, programs, scratch): (&Facts, &Programs, Option<&Scratch>),
    place: &mut Place,
    started: Timestamp,
) -> Result<Manifest, StepError> {
    let vault = &settings.vault;
    let scope = Scope::of(context, request).await?;
    let mut check = match request.wanted.level {
        BackupLevel::Decoded => Some(decode::start(programs)?),
        BackupLevel::Recorded | BackupLevel::Restored => None,
    };
    let mut arguments = scope.arguments();
    let proving = match scratch {
        Some(scratch) => Some(Proving::begin(context, &request.system_identifier, &scope, scratch).await?),
        None => None,
    };
    arguments.extend(proving.as_ref().map(Proving::argument));
    let input = check.as_mut().and_then(|program| program.child.stdin.take());
    let name = place.name(settings);
    let end = place.end(settings, &name);
    let (streamed, restoring) =
        dump::through(context, settings, (programs, &arguments), facts, async |mut dump, read| {
            let (head, mut restoring) = match scratch {
                Some(scratch) => {
                    let (head, contents) = toc::head(programs, &mut dump).await?;
                    let (tools, partial) = ((programs, settings.scratch.as_path()), scope.only().is_some());
                    let restoring = Restoring::start(context, tools, &contents, scratch, partial).await?;
                    (head, Some(restoring))
                }
                None => (Vec::new(), None),
            };
            let input = input.or_else(|| restoring.as_mut()?.program.child.stdin.take());
            let dump = std::io::Cursor::new(head).chain(dump);
            let streamed = stream::run(dump, input, &vault.recipients, end, read).await;
            let streamed = streamed.map_err(|error| match error {
                StreamError::Archive(error) => dump::archive_error(&error, settings, facts),
                StreamError::Step(error) => error,
            })?;
            Ok((streamed, restoring))
        })
        .await?;
    let read_back = read_back(context, vault, place, &streamed);
    let proof = async {
        match (proving, restoring) {
            (Some(proving), Some(restoring)) => proving.finish(context, restoring.finish()).await.map(Some),
            _ => Ok(None),
        }
    };
    let (beginning, proof) = tokio::select! {
        proven = async { tokio::try_join!(checked(check), read_back, proof) } => {
            let ((), beginning, proof) = proven?;
            (beginning, proof)
        }
        () = context.cancel.cancelled() => return Err(cancelled()),
    };
    let encrypted = !vault.recipients.is_empty();
    let pieces = if streamed.pieces.is_empty() { vec![name.clone()] } else { streamed.pieces };
    let locations: Vec<String> = pieces.iter().map(|piece| vault.destination.location(piece)).collect();
    let header = encrypted.then(|| header(&beginning)).transpose()?;
    let restore_point =
        if request.wanted.restore_point { Some(restore_point::make(context).await?) } else { None };
    let restore_command =
        restore_command::elsewhere(&locations, encrypted, &facts.database, scope.comes_back());
    let (only_tables, whole_because) = scope.told();
    let (proof, contents) = proof.unzip();
    Ok(Manifest {
        format: 1,
        file: name,
        environment: context.environment.clone(),
        agent: context.agent.clone(),
        deployment: context.deployment.clone(),
        step: context.step.clone(),
        attempt: context.attempt,
        database: context.step.database.clone(),
        restore_command,
        database_name: facts.database.clone(),
        system_identifier: facts.system_identifier.clone(),
        server_version: facts.server_version.clone(),
        pg_dump_version: programs.version.clone(),
        level: request.wanted.level,
        bytes: streamed.bytes,
        sha256: streamed.sha256,
        dump_bytes: streamed.dump_bytes,
        database_bytes: facts.tables_bytes,
        started,
        finished: Timestamp::now(),
        members: Vec::new(),
        pieces: if pieces.len() > 1 { pieces } else { Vec::new() },
        recipients: vault.recipients.names().to_vec(),
        header,
        proof,
        contents: contents.flatten(),
        only_tables,
        whole_because,
        restore_point,
        command_output: None,
    })
}

async fn checked(check: Option<Program>) -> Result<(), StepError> {
    match check {
        Some(program) => decode::finish(program).await,
        None => Ok(()),
    }
}

/// Reads what has got there, which must be what was sent; gives back its beginning.
async fn read_back(
    context: &StepContext,
    vault: &vault::Vault,
    place: &Place,
    streamed: &Streamed,
) -> Result<Vec<u8>, StepError> {
    context.reporter.progress(Progress {
        doing: "reading the backup back".to_owned(),
        done: 0,
        total: streamed.bytes,
        unit: ProgressUnit::Bytes,
        backfill: None,
    });
    let failed = |why: String| decode::unproven(&why);
    let (stream, beginning) = match place {
        Place::Object { .. } => {
            let opened = vault.destination.open(&streamed.pieces).await;
            (opened.map_err(|error| failed(error.to_string()))?, streamed.beginning.clone())
        }
        Place::File { partial, .. } => (opened(partial.path()).map_err(failed)?, beginning(partial.path())?),
    };
    let found = archive::measured(stream).await.map_err(|error| failed(error.to_string()))?;
    if found != (streamed.bytes, streamed.sha256) {
        return Err(failed("what lies there is not what was sent".to_owned()));
    }
    Ok(beginning)
}

fn opened(path: &Path) -> Result<std::pin::Pin<Box<dyn tokio::io::AsyncRead + Send>>, String> {
    let file = vault::regular_file(path).map_err(|error| error.to_string())?;
    Ok(Box::pin(tokio::fs::File::from_std(file)))
}

fn beginning(path: &Path) -> Result<Vec<u8>, StepError> {
    use std::io::Read as _;
    let mut beginning = Vec::new();
    let file = vault::regular_file(path).map_err(|error| decode::unproven(&error.to_string()))?;
    let read = file.take(BEGINNING as u64).read_to_end(&mut beginning);
    read.map(|_| beginning).map_err(|error| decode::unproven(&error.to_string()))
}

fn header(beginning: &[u8]) -> Result<String, StepError> {
    let header = Header::of(beginning).ok_or_else(|| {
        StepError::new(ErrorClass::Internal, "the encrypted backup does not begin as one of age does")
    })?;
    Ok(base64::engine::general_purpose::STANDARD.encode(header.0))
}

/// The backup that an earlier run of this attempt made, when it lies there whole.
async fn earlier(
    context: &StepContext,
    settings: &BackupSettings,
    request: &BackupRequest,
) -> Result<Option<Manifest>, StepError> {
    let destination = &settings.vault.destination;
    let shelf = Shelf::of(destination, &context.environment, &context.step.database).await?;
    for manifest in shelf.backups {
        let is_this = manifest.deployment == context.deployment
            && manifest.step == context.step
            && manifest.attempt == context.attempt
            && manifest.level >= request.wanted.level;
        if !is_this {
            continue;
        }
        let Ok(stream) = destination.open(manifest.pieces()).await else { continue };
        if archive::measured(stream).await.is_ok_and(|found| found == (manifest.bytes, manifest.sha256)) {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}

/// Removes what runs left that were killed: of this database in a bucket, of this deployment in a directory.
async fn remove_leftovers(context: &StepContext, settings: &BackupSettings) -> Result<(), StepError> {
    let (environment, database) = (&context.environment, &context.step.database);
    match &settings.vault.destination {
        Destination::Directory(directory) => {
            let names = Names::new(environment, database, &context.deployment);
            manifest::remove_leftovers(directory, &names)
                .map_err(|error| disk_error("remove leftovers", settings, &error))
        }
        Destination::Bucket(bucket) => {
            let ours = |stem: &str| Names::is_of(environment, database, stem);
            let swept = vault::sweep(bucket, ours, |stem| format!("{stem}{MANIFEST}")).await?;
            if swept > 0 {
                let text = format!("removed from {} what {swept} interrupted uploads had left", bucket.url());
                context.reporter.message(text);
            }
            Ok(())
        }
    }
}

/// Where the backup is made, under a name that is nobody else's.
enum Place {
    File { partial: Partial, file: tokio::fs::File },
    Object { claim: Claim, stem: String },
}

impl Place {
    async fn claim(
        context: &StepContext,
        settings: &BackupSettings,
        started: Timestamp,
    ) -> Result<Self, StepError> {
        let names = Names::new(&context.environment, &context.step.database, &context.deployment);
        let bucket = match &settings.vault.destination {
            Destination::Bucket(bucket) => bucket,
            Destination::Directory(directory) => {
                let made = Partial::create(directory, &names, started, DUMP).and_then(|mut partial| {
                    let file = partial.take_file()?;
                    Ok(Self::File { partial: partial.encrypted(), file })
                });
                return made.map_err(|error| disk_error("make a file", settings, &error));
            }
        };
        let mut time = started;
        loop {
            let stem = names.at(time);
            let taken = bucket.length(&format!("{stem}{MANIFEST}")).await?.is_some();
            if !taken {
                match Claim::take(bucket, &stem, context.agent.as_str()).await {
                    Err(error) if error.already_exists() => {}
                    claim => return Ok(Self::Object { claim: claim?, stem }),
                }
            }
            time = time.saturating_add(Duration::from_secs(1)).unwrap_or(Timestamp::MAX);
        }
    }

    fn name(&self, settings: &BackupSettings) -> String {
        let encrypted = if settings.vault.recipients.is_empty() { "" } else { ENCRYPTED };
        match self {
            Self::File { partial, .. } => partial.final_name(),
            Self::Object { stem, .. } => format!("{stem}{DUMP}{encrypted}"),
        }
    }

    fn end<'a>(&'a mut self, settings: &'a BackupSettings, name: &'a str) -> End<'a> {
        match self {
            Self::File { file, .. } => End::File { file, directory: &settings.directory },
            Self::Object { claim, .. } => End::Object { claim, name },
        }
    }

    async fn publish(self, settings: &BackupSettings, manifest: Manifest) -> Result<BackupReport, StepError> {
        match self {
            Self::File { partial, .. } => partial
                .publish(&manifest)
                .map_err(|error| disk_error("give the backup its name", settings, &error))?,
            Self::Object { claim, stem } => {
                let text = serde_json::to_vec_pretty(&manifest).map_err(|error| {
                    StepError::new(ErrorClass::Internal, format!("could not write the manifest: {error}"))
                })?;
                if let Err(error) = claim.publish(&format!("{stem}{MANIFEST}"), text.into()).await {
                    // It may have got there all the same; then nothing of it may be removed.
                    return Err(error.into());
                }
            }
        }
        Ok(manifest.report(settings.vault.destination.location(&manifest.file)))
    }

    /// Leaves nothing behind; what can't be removed now is removed by the next backup of this database.
    async fn abandon(self, context: &StepContext) {
        if let Self::Object { claim, .. } = self
            && let Err(error) = claim.abandon().await
        {
            context
                .reporter
                .message(format!("the upload could not be taken back, which the next one does: {error}"));
        }
    }
}

fn cancelled() -> StepError {
    StepError::new(ErrorClass::Cancelled, "the backup was cancelled")
}
