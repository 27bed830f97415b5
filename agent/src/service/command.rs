//! What every command must be before anything is done in its name.

use std::collections::BTreeSet;

use stopover_model::digest::Digest;
use stopover_model::event::StepKind;
use stopover_model::id::{DatabaseName, EnvironmentName};
use stopover_model::migration::Migration;
use stopover_model::plan::Variant;
use stopover_proto::convert::field::enumeration;
use stopover_proto::convert::{AgentCommand, InvalidBundle, InvalidWire};
use stopover_proto::v1;
use tonic::Status;

/// Checks a command that asks for a step of one of these kinds.
pub(super) fn check(
    command: Option<v1::Command>,
    kinds: &[StepKind],
    environment: &EnvironmentName,
    databases: &BTreeSet<DatabaseName>,
) -> Result<AgentCommand, Status> {
    let command = command.ok_or_else(|| Status::invalid_argument("`command` is missing"))?;
    let command = AgentCommand::try_from(command).map_err(|e| invalid("command", &e))?;
    if !kinds.contains(&command.step.kind) {
        let kind = command.step.kind;
        return Err(Status::invalid_argument(format!(
            "`command.step.kind`: {kind} is not done by this call"
        )));
    }
    check_place(&command.environment, &command.step.database, environment, databases)?;
    Ok(command)
}

/// Checks that what is asked for is this agent's to do.
pub(super) fn check_place(
    asked: &EnvironmentName,
    database: &DatabaseName,
    environment: &EnvironmentName,
    databases: &BTreeSet<DatabaseName>,
) -> Result<(), Status> {
    if asked != environment {
        return Err(Status::permission_denied(format!(
            "this agent works for the environment {environment}, and the command is for {asked}"
        )));
    }
    if !databases.contains(database) {
        let known: Vec<&str> = databases.iter().map(DatabaseName::as_str).collect();
        return Err(Status::failed_precondition(format!(
            "this agent has no database {database}: its agent.toml names {}; add a [[database]] there, or correct the pipeline",
            known.join(", ")
        )));
    }
    Ok(())
}

/// Reads a migration and refuses content that is not what the digest was made of.
pub(super) fn migration(
    bundle: Option<v1::MigrationBundle>,
    digest: &[u8],
    command: &AgentCommand,
) -> Result<Migration, Status> {
    let migration = agreed(bundle, digest)?;
    if command.step.migration.as_ref() != Some(&migration.id) {
        let message = format!("`migration` is {}, and `command.step` names another", migration.id);
        return Err(Status::invalid_argument(message));
    }
    Ok(migration)
}

fn agreed(bundle: Option<v1::MigrationBundle>, digest: &[u8]) -> Result<Migration, Status> {
    let bundle = bundle.ok_or_else(|| Status::invalid_argument("`migration` is missing"))?;
    let migration = Migration::try_from(bundle).map_err(|e| invalid_bundle("migration", &e))?;
    let wanted = <[u8; 32]>::try_from(digest)
        .map(Digest::from_bytes)
        .map_err(|_| Status::invalid_argument("`migration_digest` must hold 32 bytes"))?;
    if migration.digest != wanted {
        return Err(Status::failed_precondition(format!(
            "the digest of {} is {}, and the command is for {}: its content is not what was agreed to",
            migration.id,
            migration.digest.short(),
            wanted.short()
        )));
    }
    Ok(migration)
}

/// One of those to rehearse, with its variant.
pub(super) fn rehearsed(asked: v1::rehearse_request::Rehearsed) -> Result<(Migration, Variant), Status> {
    let migration = agreed(asked.migration, &asked.migration_digest)?;
    let variant: Variant =
        enumeration::read(asked.variant, "variant").map_err(|e| invalid("migrations", &e))?;
    check_variant(&migration, variant)?;
    Ok((migration, variant))
}

pub(super) fn migrations(bundles: Vec<v1::MigrationBundle>) -> Result<Vec<Migration>, Status> {
    let read = |bundle| Migration::try_from(bundle).map_err(|e| invalid_bundle("migrations", &e));
    bundles.into_iter().map(read).collect()
}

pub(super) fn invalid(field: &str, error: &InvalidWire) -> Status {
    let path = if error.field.is_empty() { field.to_owned() } else { format!("{field}.{}", error.field) };
    Status::invalid_argument(format!("`{path}`: {}", error.why))
}

fn invalid_bundle(field: &str, error: &InvalidBundle) -> Status {
    Status::invalid_argument(format!("`{field}`: {error}"))
}

/// The batched variant needs its script.
pub(super) fn check_variant(migration: &Migration, variant: Variant) -> Result<(), Status> {
    if variant == Variant::Batched && migration.batch.is_none() {
        let message = format!("`variant`: {} has no up.batch.sql", migration.id);
        return Err(Status::invalid_argument(message));
    }
    Ok(())
}
