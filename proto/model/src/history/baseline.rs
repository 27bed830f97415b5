//! A person's word that everything up to a migration is there already.

use super::adoption::{Adoption, Basis, Mark};
use crate::id::MigrationId;
use crate::migration::Migration;

/// The directory holds no such migration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no migration `{}` in the directory{}", .given.escape_debug(), did_you_mean(.nearest.as_ref()))]
pub struct NoSuchMigration {
    pub given: String,
    pub nearest: Option<MigrationId>,
}

/// Counts the migrations up to this one as applied, itself included.
pub fn baseline(migrations: &[Migration], through: &str) -> Result<Adoption, NoSuchMigration> {
    let Some(last) = migrations.iter().position(|migration| migration.id.as_str() == through) else {
        let distance = |m: &&Migration| strsim::damerau_levenshtein(m.id.as_str(), through);
        let begins = migrations.iter().find(|m| !through.is_empty() && m.id.as_str().starts_with(through));
        let nearest = begins.or_else(|| migrations.iter().min_by_key(distance)).map(|m| m.id.clone());
        return Err(NoSuchMigration { given: through.to_owned(), nearest });
    };
    let (applied, pending) = migrations.split_at(last + 1);
    let mark = |migration: &Migration| Mark {
        migration: migration.id.clone(),
        digest: migration.digest,
        basis: Basis::Person,
        version: None,
        at: None,
    };
    Ok(Adoption {
        marks: applied.iter().map(mark).collect(),
        pending: pending.iter().map(|migration| migration.id.clone()).collect(),
        problems: Vec::new(),
        unknown: Vec::new(),
    })
}

fn did_you_mean(nearest: Option<&MigrationId>) -> String {
    nearest.map(|id| format!("; did you mean {id}?")).unwrap_or_default()
}
