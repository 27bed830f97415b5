//! One backup from its beginning to its name: what is dumped, how far it is proven, and what its manifest says.

use std::io::Write as _;
use std::path::Path;

use jiff::Timestamp;
use stopover_model::pipeline::BackupLevel;
use stopover_model::report::{BackupReport, ErrorClass, RestoreProof, StepError};

use super::archive::{self, Written};
use super::child::last;
use super::compare::Contents;
use super::facts::Facts;
use super::manifest::Manifest;
use super::members::{self, Member};
use super::names::{DUMP, LOG, Names};
use super::programs::Programs;
use super::proof::Proving;
use super::publish::Partial;
use super::restore::Restore;
use super::scope::Scope;
use super::{
    BackupRequest, BackupSettings, decode, disk_error, dump, own_command, parallel, restore_command,
    restore_point,
};
use crate::scratch::Scratch;
use crate::step::StepContext;

/// What a backup is made of, and for whom.
pub(super) struct Work<'a> {
    pub(super) context: &'a StepContext,
    pub(super) settings: &'a BackupSettings,
    pub(super) request: &'a BackupRequest,
    pub(super) facts: &'a Facts,
    pub(super) names: &'a Names,
}

/// What lies on the disk under a name that is not final, and what is known of it.
struct Made {
    written: Written,
    members: Vec<Member>,
    level: BackupLevel,
    proof: Option<(RestoreProof, Option<Contents>)>,
    scope: Scope,
    restore_command: String,
    pg_dump_version: String,
    command_output: Option<String>,
}

impl Work<'_> {
    /// With `pg_dump`. Whatever fails, nothing stays: neither a file nor a scratch database.
    pub(super) async fn by_dump(&self, programs: &Programs) -> Result<BackupReport, StepError> {
        let scope = Scope::of(self.context, self.request).await?;
        if self.request.wanted.level < BackupLevel::Restored {
            return self.dump(programs, scope, None).await;
        }
        let scratch = Scratch::create(self.context).await?;
        let made = self.dump(programs, scope, Some(&scratch)).await;
        if made.is_ok() && self.request.keep_restored {
            scratch.keep_for_rehearsal(self.context).await?;
        } else {
            scratch.remove().await;
        }
        made
    }

    /// With the site's own command, of which nobody can say more than that it ended well.
    pub(super) async fn by_command(&self, command: &[String]) -> Result<BackupReport, StepError> {
        let level = self.request.wanted.level;
        if level > BackupLevel::Recorded {
            let message = format!(
                "the stage asks for a backup that is {}, and backup.command in agent.toml makes one that can't be looked into",
                word(level)
            );
            return Err(StepError::new(ErrorClass::Setup, message).with_hint(
                "set backup = \"recorded\" for this stage, or take command out of [backup] in agent.toml",
            ));
        }
        let started = Timestamp::now();
        let said = own_command::run(self.context, command).await?;
        let mut partial = self.partial(started, LOG)?;
        let path = partial.path().to_owned();
        let write = || -> std::io::Result<()> {
            let mut file = partial.take_std_file()?;
            file.write_all(said.as_bytes())?;
            file.sync_all()
        };
        let mut write = write;
        write().map_err(|error| disk_error("write what the command said", self.settings, &error))?;
        let (bytes, sha256) = archive::measure(&path)
            .await
            .map_err(|error| disk_error("read what the command said", self.settings, &error))?;
        let because = "the backup command of agent.toml says what is in it".to_owned();
        let made = Made {
            written: Written { bytes, sha256, dump_bytes: 0 },
            members: Vec::new(),
            level: BackupLevel::Recorded,
            proof: None,
            scope: Scope::Whole { because: self.asks_for_touched().then_some(because) },
            restore_command: "with the means of what the backup command made".to_owned(),
            pg_dump_version: String::new(),
            command_output: Some(last(&said)),
        };
        self.publish(partial, started, made).await
    }

    async fn dump(
        &self,
        programs: &Programs,
        scope: Scope,
        scratch: Option<&Scratch>,
    ) -> Result<BackupReport, StepError> {
        if self.settings.jobs > 1 {
            return self.dump_in_parallel(programs, scope, scratch).await;
        }
        let started = Timestamp::now();
        let mut partial = self.partial(started, DUMP)?;
        let (written, proof) = match scratch {
            Some(scratch) => self.dump_and_restore(programs, &scope, scratch, &mut partial).await?,
            None => (self.dump_alone(programs, &scope, &mut partial).await?, None),
        };
        let path = self.settings.directory.join(partial.final_name());
        let database = &self.facts.database;
        let made = Made {
            written,
            members: Vec::new(),
            level: self.request.wanted.level,
            proof,
            restore_command: restore_command::restore_command(&path, database, scope.comes_back()),
            scope,
            pg_dump_version: programs.version.clone(),
            command_output: None,
        };
        self.publish(partial, started, made).await
    }

    async fn dump_alone(
        &self,
        programs: &Programs,
        scope: &Scope,
        partial: &mut Partial,
    ) -> Result<Written, StepError> {
        let (context, settings) = (self.context, self.settings);
        let written =
            dump::run(context, settings, (programs, &scope.arguments()), self.facts, partial).await?;
        if self.request.wanted.level == BackupLevel::Decoded {
            decode::run(context, programs, partial.path(), &written).await?;
        }
        Ok(written)
    }

    async fn dump_and_restore(
        &self,
        programs: &Programs,
        scope: &Scope,
        scratch: &Scratch,
        partial: &mut Partial,
    ) -> Result<(Written, Option<(RestoreProof, Option<Contents>)>), StepError> {
        let (context, settings) = (self.context, self.settings);
        let proving = Proving::begin(context, &self.request.system_identifier, scope, scratch).await?;
        let mut arguments = scope.arguments();
        arguments.push(proving.argument());
        let written = dump::run(context, settings, (programs, &arguments), self.facts, partial).await?;
        let restore = &Restore {
            programs,
            scratch_directory: &settings.scratch,
            path: partial.path(),
            written,
            partial: scope.only().is_some(),
        };
        let proof = proving.finish(context, restore.into(context, scratch)).await?;
        Ok((written, Some(proof)))
    }

    async fn dump_in_parallel(
        &self,
        programs: &Programs,
        scope: Scope,
        scratch: Option<&Scratch>,
    ) -> Result<BackupReport, StepError> {
        let (context, settings, started) = (self.context, self.settings, Timestamp::now());
        let partial = Partial::create_directory(&settings.directory, self.names, started);
        let partial = partial.map_err(|error| disk_error("make a directory", settings, &error))?;
        let mut arguments = scope.arguments();
        let proving = match scratch {
            Some(scratch) => {
                let system = &self.request.system_identifier;
                Some(Proving::begin(context, system, &scope, scratch).await?.with_jobs(settings.jobs))
            }
            None => None,
        };
        arguments.extend(proving.as_ref().map(Proving::argument));
        let directory = partial.path();
        parallel::dump(context, settings, (programs, &arguments), self.facts, directory).await?;
        let (members, proof) = match proving {
            Some(proving) => {
                let only_some = scope.only().is_some();
                let restore =
                    parallel::Restore { programs, settings, directory, members: None, partial: only_some };
                let mut members = Vec::new();
                let scratch = proving.scratch;
                let restoring = async {
                    members = restore.run(context, scratch).await?;
                    Ok(())
                };
                let proof = proving.finish(context, restoring).await?;
                (members, Some(proof))
            }
            None => (self.hashed(programs, directory).await?, None),
        };
        let (bytes, sha256) = members::total(&members);
        let path = settings.directory.join(partial.final_name());
        let (database, into) = (&self.facts.database, scope.comes_back());
        let made = Made {
            written: Written { bytes, sha256, dump_bytes: 0 },
            members,
            level: self.request.wanted.level,
            proof,
            restore_command: restore_command::of_directory(&path, settings.jobs, database, into),
            scope,
            pg_dump_version: programs.version.clone(),
            command_output: None,
        };
        self.publish(partial, started, made).await
    }

    /// What lies in the directory, decoded where that is asked for.
    async fn hashed(&self, programs: &Programs, directory: &Path) -> Result<Vec<Member>, StepError> {
        let jobs = self.settings.jobs;
        let decoded = async {
            let members = parallel::hashed(directory, jobs).await?;
            if self.request.wanted.level == BackupLevel::Decoded {
                parallel::say(self.context, "decoding the backup", members::total(&members).0);
                parallel::decode(programs, directory, &members, jobs).await?;
                parallel::check(directory, &members, jobs).await?;
            }
            Ok(members)
        };
        tokio::select! {
            decoded = decoded => decoded,
            () = self.context.cancel.cancelled() => {
                Err(StepError::new(ErrorClass::Cancelled, "the backup was cancelled"))
            }
        }
    }

    fn partial(&self, started: Timestamp, ending: &'static str) -> Result<Partial, StepError> {
        let partial = Partial::create(&self.settings.directory, self.names, started, ending);
        partial.map_err(|error| disk_error("make a file", self.settings, &error))
    }

    fn asks_for_touched(&self) -> bool {
        self.request.wanted.scope == stopover_model::pipeline::BackupScope::Touched
    }

    async fn publish(
        &self,
        partial: Partial,
        started: Timestamp,
        made: Made,
    ) -> Result<BackupReport, StepError> {
        let Self { context, settings, request, facts, .. } = self;
        let restore_point =
            if request.wanted.restore_point { Some(restore_point::make(context).await?) } else { None };
        let (only_tables, whole_because) = made.scope.told();
        let (proof, contents) = made.proof.unzip();
        let manifest = Manifest {
            format: 1,
            file: partial.final_name(),
            environment: context.environment.clone(),
            agent: context.agent.clone(),
            deployment: context.deployment.clone(),
            step: context.step.clone(),
            attempt: context.attempt,
            database: context.step.database.clone(),
            database_name: facts.database.clone(),
            system_identifier: facts.system_identifier.clone(),
            server_version: facts.server_version.clone(),
            pg_dump_version: made.pg_dump_version,
            level: made.level,
            bytes: made.written.bytes,
            sha256: made.written.sha256,
            dump_bytes: made.written.dump_bytes,
            database_bytes: facts.tables_bytes,
            started,
            finished: Timestamp::now(),
            restore_command: made.restore_command,
            proof,
            contents: contents.flatten(),
            only_tables,
            whole_because,
            restore_point,
            command_output: made.command_output,
            pieces: Vec::new(),
            members: made.members,
            recipients: Vec::new(),
            header: None,
        };
        let published = partial.publish(&manifest);
        published.map_err(|error| disk_error("give the backup its name", settings, &error))?;
        Ok(manifest.report(settings.directory.join(&manifest.file).display().to_string()))
    }
}

fn word(level: BackupLevel) -> &'static str {
    match level {
        BackupLevel::Recorded => "recorded",
        BackupLevel::Decoded => "decoded",
        BackupLevel::Restored => "restored",
    }
}
