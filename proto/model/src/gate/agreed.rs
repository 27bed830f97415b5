//! What people agree to when they approve a stage: what would run in each of its databases, and how far a schema has
//! drifted. How long it should take, and what else a plan warns of, is no part of it.

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Digester};
use crate::id::{DatabaseName, MigrationId};
use crate::migration::Variant;
use crate::pipeline::{DriftPolicy, DriftSettings};
use crate::plan::{Action, TargetPlan};
use crate::report::Inspection;

/// The part of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreed {
    pub database: DatabaseName,
    migrations: Vec<Run>,
    /// What others have changed in the schema, where that matters to the pipeline.
    drift: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    migration: MigrationId,
    /// None: it is there already.
    variant: Option<Variant>,
    /// The plan's reason, for people.
    why: String,
}

impl Agreed {
    #[must_use]
    pub fn of(plan: &TargetPlan, inspection: Option<&Inspection>, drift: &DriftSettings) -> Self {
        let runs = plan.migrations.iter().map(|m| Run {
            migration: m.id.clone(),
            variant: match &m.action {
                Action::Apply { variant, .. } => Some(*variant),
                Action::Skip => None,
            },
            why: m.reason.clone(),
        });
        let found = inspection.and_then(|i| i.drift.as_ref()).filter(|_| drift.policy != DriftPolicy::Allow);
        let counted = found.map(|found| found.counted(&drift.ignore));
        let drift = counted.map_or_else(Vec::new, |counted| {
            let more = (counted.more > 0).then(|| format!("{} more", counted.more));
            counted.objects.iter().map(ToString::to_string).chain(more).collect()
        });
        Self { database: plan.database.clone(), migrations: runs.collect(), drift }
    }

    /// Whether the same would run here, in the same schema.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let runs =
            |a: &Self| a.migrations.iter().map(|r| (r.migration.clone(), r.variant)).collect::<Vec<_>>();
        self.database == other.database && self.drift == other.drift && runs(self) == runs(other)
    }

    fn change_from(&self, before: &Self) -> Option<String> {
        let database = &self.database;
        let runs = self.migrations.iter().zip(&before.migrations);
        let run = runs.into_iter().find(|(now, before)| now.variant != before.variant);
        if let Some((now, before)) = run {
            let id = &now.migration;
            return Some(match (before.variant, now.variant) {
                (Some(before), Some(variant)) => format!(
                    "{}, so that {} of {id} would run in {database} instead of {}",
                    now.why,
                    variant.file(),
                    before.file()
                ),
                (None, Some(variant)) => {
                    format!("{} of {id} would run in {database}, where it was there before", variant.file())
                }
                (_, None) => format!("{id} is in {database} by now: {}", now.why),
            });
        }
        let new: Vec<_> = self.drift.iter().filter(|object| !before.drift.contains(object)).collect();
        match new.first() {
            Some(first) if new.len() > 1 => {
                Some(format!("the schema of {database} has changed: {first}, and {} more", new.len() - 1))
            }
            Some(first) => Some(format!("the schema of {database} has changed: {first}")),
            None if self.drift != before.drift => {
                Some(format!("the schema of {database} has changed: what had drifted is as it was again"))
            }
            None => None,
        }
    }
}

/// The digest that an approval is bound to: of the deployment, and of what would run where.
#[must_use]
pub fn digest_of<'a>(deployment: Digest, agreed: impl IntoIterator<Item = &'a Agreed>) -> Digest {
    let mut digester = Digester::new("stopover stage v1");
    digester.part("deployment", deployment.as_bytes());
    for one in agreed {
        digester.part("database", one.database.as_str().as_bytes());
        for run in &one.migrations {
            let file = run.variant.map_or("", Variant::file);
            digester.part("migration", run.migration.as_str().as_bytes()).part("runs", file.as_bytes());
        }
        for object in &one.drift {
            digester.part("drift", object.as_bytes());
        }
    }
    digester.finish()
}

/// What is different now, in words; None where nothing is.
#[must_use]
pub fn changes(before: &[Agreed], now: &[Agreed]) -> Option<String> {
    let changed = now.iter().filter_map(|now| {
        let before = before.iter().find(|before| before.database == now.database)?;
        now.change_from(before)
    });
    let changed: Vec<_> = changed.collect();
    (!changed.is_empty()).then(|| changed.join("; "))
}
