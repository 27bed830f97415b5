//! What is looked at: scripts, in the order in which they run.

pub use stopover_model::lint::ScriptRole as Role;
use stopover_model::migration::{Migration, Rerun, Script};

/// One script with what is known of it.
#[derive(Debug, Clone)]
pub struct ScriptToLint<'a> {
    /// Under this name its findings appear.
    pub file: String,
    /// What people call the migration that it belongs to.
    pub migration: &'a str,
    pub script: &'a Script,
    pub role: Role,
    /// Whether it may be run again where nobody can see how far it came: `rerun = "safe"`.
    pub rerun_is_safe: bool,
    /// What it drops is saved before: `save = false` of its migration says otherwise.
    pub saves: bool,
    /// Looked at only for what it tells of those behind it.
    pub is_context: bool,
}

impl<'a> ScriptToLint<'a> {
    /// The scripts of a migration. `name` says what to call each of `up.sql`, `up.batch.sql` and `down.sql`.
    #[must_use]
    pub fn of(migration: &'a Migration, name: impl Fn(&str) -> String) -> Vec<Self> {
        let scripts = [
            ("up.sql", Role::Up, Some(&migration.up)),
            ("up.batch.sql", Role::Batched, migration.batch.as_ref()),
            ("down.sql", Role::Down, migration.down.as_ref()),
        ];
        let to_lint = |(file, role, script): (&str, Role, Option<&'a Script>)| {
            let rerun_is_safe = migration.manifest.rerun == Rerun::Safe;
            Some(Self {
                file: name(file),
                migration: migration.id.as_str(),
                script: script?,
                role,
                rerun_is_safe,
                saves: !migration.manifest.no_save,
                is_context: false,
            })
        };
        scripts.into_iter().filter_map(to_lint).collect()
    }
}
