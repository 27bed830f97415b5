//! What each statement of a script would do to one database: the locks, the work and the triggers.
//!
//! It knows the statements' trees and the facts about the database that [`questions`] asks for, and from PostgreSQL's own
//! source what a command locks and when it writes a table anew; nothing is run. What a statement changes is remembered
//! for those behind it.
//!
//! ```text
//! scripts -> questions ─(the agent asks)─> Facts ─┬─> World ── statement by statement ──> Effect -> StatementImpact
//!                                                 └── what was created or changed before ──┘
//! ```

mod alter;
mod alter_column;
mod altered;
mod commands;
mod constraint;
mod create;
mod drops;
mod effect;
mod facts;
mod held;
mod index;
mod maintenance;
mod names;
mod partition;
mod path;
mod question;
mod rows;
mod saved;
#[cfg(test)]
mod tests;
mod triggers;
mod types;
mod world;

use stopover_model::id::MigrationId;
use stopover_model::impact::{LockMode, ScriptImpact, StatementImpact};
use stopover_model::migration::{Script, Variant};

use crate::deep;
use crate::reading::Reading;
use crate::script::{Role, ScriptToLint};
use effect::Effect;
pub use facts::{Check, Column, Facts, ForeignKey, Function, Index, Relation, Trigger, Type};
pub use question::Questions;
use world::World;

/// A script that may be run. Those of one migration follow one another, the batched one first.
#[derive(Debug, Clone, Copy)]
pub struct ScriptToPredict<'a> {
    pub migration: &'a MigrationId,
    pub variant: Variant,
    pub script: &'a Script,
    /// What it drops is saved before.
    pub saves: bool,
}

/// What the scripts do, as far as there was room for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prediction {
    pub impacts: Vec<ScriptImpact>,
    /// The statements of which there would be more to say.
    pub left_out: usize,
}

/// What must be asked of a database before these scripts can be predicted there.
#[must_use]
pub fn questions(scripts: &[ScriptToPredict<'_>]) -> Questions {
    deep::run(|| {
        let mut questions = Questions::default();
        for script in scripts {
            questions.collect(&Reading::of(&to_read(script)));
        }
        questions
    })
}

/// What these scripts would do, one after the other. At most so many statements are described.
#[must_use]
pub fn predict(scripts: &[ScriptToPredict<'_>], facts: &Facts, most: usize) -> Prediction {
    deep::run(|| {
        let mut prediction = Prediction::default();
        let mut room = most;
        let mut world = World::new(facts.clone());
        for script in scripts {
            let source = to_read(script);
            let reading = Reading::of(&source);
            // The batched script runs instead of the standard one, from whose way the next migration goes on.
            let mut other = (script.variant == Variant::Batched).then(|| world.clone());
            let mut statements = predict_one(&reading, other.as_mut().unwrap_or(&mut world));
            let kept = statements.len().min(room);
            prediction.left_out += statements.len() - kept;
            room -= kept;
            statements.truncate(kept);
            if !statements.is_empty() {
                let migration = script.migration.clone();
                prediction.impacts.push(ScriptImpact { migration, variant: script.variant, statements });
            }
        }
        prediction
    })
}

fn to_read<'a>(script: &ScriptToPredict<'a>) -> ScriptToLint<'a> {
    ScriptToLint {
        file: String::new(),
        migration: script.migration.as_str(),
        script: script.script,
        role: if script.variant == Variant::Batched { Role::Batched } else { Role::Up },
        rerun_is_safe: true,
        is_context: false,
        saves: script.saves,
    }
}

fn predict_one(reading: &Reading<'_>, world: &mut World) -> Vec<StatementImpact> {
    let search_path = world.facts.search_path.clone();
    let mut statements = Vec::new();
    for (index, statement) in reading.statements.iter().enumerate() {
        let mut effect = Effect::default();
        if let Some(path) = path::set_by(statement) {
            world.facts.search_path = std::iter::once("pg_catalog".to_owned()).chain(path).collect();
        }
        commands::see(world, &mut effect, reading, statement);
        saved::note(&mut effect, reading, statement);
        statements.push(effect.finish(index));
    }
    world.facts.search_path = search_path;
    held::note(reading, &mut statements);
    statements.retain(says_something);
    statements
}

/// Whoever only reads is in nobody's way.
fn says_something(impact: &StatementImpact) -> bool {
    !impact.work.is_empty()
        || !impact.triggers.is_empty()
        || !impact.notes.is_empty()
        || impact.locks.iter().any(|lock| lock.mode > LockMode::AccessShare)
}
