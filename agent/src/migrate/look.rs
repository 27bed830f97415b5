//! What can be seen of a statement that no transaction holds: before it, behind it, and after nobody saw its end.

use std::time::Duration;

use stopover_model::report::{Effect, ErrorClass, StepError};
use stopover_model::sql::{Name, ReindexTarget, StatementKind};

use super::catalog::{self, Index, Registry, Scope};
use super::stop::Stop;
use super::{Engine, Job};
use crate::postgres::Session;

/// How a statement is treated, by what it leaves in the catalogs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Handling {
    BuildIndex {
        table: Name,
        name: Option<String>,
    },
    DropIndex {
        name: Option<Name>,
    },
    Reindex {
        scope: Scope,
    },
    Detach {
        table: Name,
        partition: Name,
    },
    /// CREATE DATABASE and the like: its object comes, or goes, as a whole.
    Create {
        registry: Registry,
        name: String,
    },
    Drop {
        registry: Registry,
        name: String,
    },
    /// Another run of it does no harm: VACUUM.
    Repeat,
    /// Nothing can be seen of it, and an error undoes it: COMMIT PREPARED.
    Atomic,
    /// Nothing can be seen of it, and it may have committed some of its work before an error: a DO block.
    Opaque,
}

/// What was seen of an intent.
pub(super) enum Seen {
    Done,
    NotDone,
    /// It does not matter.
    Repeatable,
    Nothing,
}

impl Handling {
    pub(super) fn of(kind: &StatementKind) -> Self {
        match kind {
            StatementKind::CreateIndex { name, table, .. } => {
                Self::BuildIndex { table: table.clone(), name: name.clone() }
            }
            StatementKind::DropIndex { names, .. } => Self::DropIndex { name: names.first().cloned() },
            StatementKind::Reindex { concurrently: true, target, name } => Self::Reindex {
                scope: match (target, name) {
                    (ReindexTarget::Index, Some(name)) => Scope::TableOfIndex(name.clone()),
                    (ReindexTarget::Table, Some(name)) => Scope::TableAndToast(name.clone()),
                    (ReindexTarget::Schema, Some(name)) => Scope::Schema(name.name.clone()),
                    _ => Scope::Database,
                },
            },
            StatementKind::DetachPartitionConcurrently { table, partition } => {
                Self::Detach { table: table.clone(), partition: partition.clone() }
            }
            StatementKind::Vacuum
            | StatementKind::Reindex { .. }
            | StatementKind::Cluster { .. }
            | StatementKind::AlterSystem
            | StatementKind::AlterDatabaseSetTablespace
            | StatementKind::DiscardAll => Self::Repeat,
            StatementKind::Do { .. } | StatementKind::Call { .. } => Self::Opaque,
            kind => Self::of_registered(kind).unwrap_or(Self::Atomic),
        }
    }

    fn of_registered(kind: &StatementKind) -> Option<Self> {
        let (registry, name, comes) = match kind {
            StatementKind::CreateDatabase { name } => (Registry::Databases, name, true),
            StatementKind::DropDatabase { name } => (Registry::Databases, name, false),
            StatementKind::CreateTablespace { name } => (Registry::Tablespaces, name, true),
            StatementKind::DropTablespace { name } => (Registry::Tablespaces, name, false),
            StatementKind::CreateSubscription { name, .. } => (Registry::Subscriptions, name, true),
            StatementKind::DropSubscription { name } => (Registry::Subscriptions, name, false),
            _ => return None,
        };
        let name = name.clone();
        Some(if comes { Self::Create { registry, name } } else { Self::Drop { registry, name } })
    }

    /// Whether it may run once more after it failed or broke off, as far as the catalogs tell.
    pub(super) fn may_repeat(&self) -> bool {
        !matches!(self, Self::Opaque)
    }

    /// Whether an error, once cleaned up after, leaves nothing of it.
    pub(super) fn leaves_nothing(&self) -> bool {
        !matches!(self, Self::DropIndex { .. } | Self::Detach { .. } | Self::Opaque)
    }

    /// It runs CONCURRENTLY: it lets readers and writers pass while it waits, and waits for every older snapshot.
    pub(super) fn is_concurrent(&self) -> bool {
        matches!(
            self,
            Self::BuildIndex { .. } | Self::DropIndex { .. } | Self::Reindex { .. } | Self::Detach { .. }
        )
    }

    pub(super) fn lock_timeout(&self, job: &Job<'_>) -> Duration {
        let locks = &job.locks;
        if self.is_concurrent() {
            locks.concurrent_lock_timeout.max(locks.lock_timeout)
        } else {
            locks.lock_timeout
        }
    }
}

/// Clears away what an interrupted run left, and notes what is there, so that a later look can tell new from old.
pub(super) async fn prepare(
    engine: &Engine<'_>,
    session: &Session,
    handling: &Handling,
) -> Result<Vec<String>, Stop> {
    let patience = engine.job.locks.concurrent_lock_timeout;
    match handling {
        Handling::BuildIndex { table, name } => {
            let indexes = catalog::indexes(session, &Scope::Table(table.clone())).await?;
            let named = |index: &Index| name.as_ref() == Some(&index.name);
            drop_invalid(engine, session, indexes.iter().filter(|index| named(index)), patience).await?;
            Ok(indexes
                .into_iter()
                .filter(|index| index.valid || !named(index))
                .map(|index| index.oid)
                .collect())
        }
        Handling::Reindex { scope } => {
            drop_leftovers(engine, session, scope, patience).await?;
            Ok(Vec::new())
        }
        Handling::DropIndex { name: Some(name) } => {
            Ok(catalog::index_named(session, name).await?.into_iter().map(|index| index.oid).collect())
        }
        Handling::Detach { table, partition } => {
            let attached = catalog::partition(session, table, partition).await?;
            Ok(attached.map(|_| "attached".to_owned()).into_iter().collect())
        }
        Handling::Create { registry, name } | Handling::Drop { registry, name } => {
            Ok(catalog::registered(session, *registry, name).await?.into_iter().collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Looks for the effect of a statement that is over, whatever its end: its session is proven gone, or has said so.
pub(super) async fn at(
    engine: &Engine<'_>,
    session: &Session,
    handling: &Handling,
    noted: &[String],
) -> Result<Seen, Stop> {
    let seen = |done| if done { Seen::Done } else { Seen::NotDone };
    match handling {
        Handling::BuildIndex { table, name } => {
            let indexes = catalog::indexes(session, &Scope::Table(table.clone())).await?;
            let new: Vec<_> = indexes.iter().filter(|index| is_new(index, name.as_deref(), noted)).collect();
            if new.iter().any(|index| index.valid) {
                return Ok(Seen::Done);
            }
            drop_invalid(engine, session, new.into_iter(), engine.job.locks.concurrent_lock_timeout).await?;
            Ok(Seen::NotDone)
        }
        // One that was not there at the beginning gives the same error or notice again.
        Handling::DropIndex { name: Some(name) } => {
            Ok(seen(!noted.is_empty() && catalog::index_named(session, name).await?.is_none()))
        }
        Handling::Detach { table, partition } => match catalog::partition(session, table, partition).await? {
            None => Ok(seen(!noted.is_empty())),
            Some(pending) if pending => {
                let patience = engine.job.locks.concurrent_lock_timeout;
                catalog::finalize_detach(session, table, partition, patience).await?;
                Ok(Seen::Done)
            }
            Some(_) => Ok(Seen::NotDone),
        },
        // What was there before stands in its way again.
        Handling::Create { registry, name } => Ok(seen(
            catalog::registered(session, *registry, name).await?.is_some_and(|mark| !noted.contains(&mark)),
        )),
        Handling::Drop { registry, name } => {
            let there = catalog::registered(session, *registry, name).await?;
            Ok(seen(!noted.is_empty() && there.is_none_or(|mark| !noted.contains(&mark))))
        }
        Handling::Reindex { .. } | Handling::Repeat | Handling::DropIndex { name: None } => {
            Ok(Seen::Repeatable)
        }
        Handling::Atomic | Handling::Opaque => Ok(Seen::Nothing),
    }
}

/// Sees the effect with its own eyes where an absent error proves nothing: IF NOT EXISTS is content with a broken index.
pub(super) async fn confirm(
    engine: &Engine<'_>,
    session: &Session,
    handling: &Handling,
    noted: &[String],
) -> Result<(), Stop> {
    let Handling::BuildIndex { table, name: Some(name) } = handling else { return Ok(()) };
    let indexes = catalog::indexes(session, &Scope::Table(table.clone())).await?;
    match indexes.iter().find(|index| index.name == *name) {
        Some(index) if index.valid && noted.contains(&index.oid) => {
            let text = format!("the index {name} was there already and stays as it is: {}", index.definition);
            engine.context.reporter.message(text);
            Ok(())
        }
        Some(index) if index.valid => Ok(()),
        _ => {
            let message = format!("the index {name} on {table} is not there, or not valid, after its build");
            Err(Stop::failed(
                StepError::new(ErrorClass::Sql, message)
                    .with_effect(Effect::Partial)
                    .with_hint("does another relation have its name? look at pg_index.indisvalid"),
            ))
        }
    }
}

/// Takes away what a failed statement left: an invalid index slows down every write, and serves nobody.
pub(super) async fn clean(
    engine: &Engine<'_>,
    session: &Session,
    handling: &Handling,
    noted: &[String],
    patience: Duration,
) -> Result<(), Stop> {
    match handling {
        Handling::BuildIndex { table, name } => {
            let indexes = catalog::indexes(session, &Scope::Table(table.clone())).await?;
            let left = indexes.iter().filter(|index| is_new(index, name.as_deref(), noted));
            drop_invalid(engine, session, left, patience).await
        }
        Handling::Reindex { scope } => drop_leftovers(engine, session, scope, patience).await,
        _ => Ok(()),
    }
}

fn is_new(index: &Index, name: Option<&str>, noted: &[String]) -> bool {
    !noted.contains(&index.oid) && name.is_none_or(|name| name == index.name)
}

async fn drop_leftovers(
    engine: &Engine<'_>,
    session: &Session,
    scope: &Scope,
    patience: Duration,
) -> Result<(), Stop> {
    let indexes = catalog::indexes(session, scope).await?;
    let left = indexes.iter().filter(|index| index.is_reindex_leftover());
    drop_invalid(engine, session, left, patience).await
}

async fn drop_invalid(
    engine: &Engine<'_>,
    session: &Session,
    indexes: impl Iterator<Item = &Index>,
    patience: Duration,
) -> Result<(), Stop> {
    for index in indexes.filter(|index| !index.valid) {
        if let Some(pid) = index.built_by {
            let message = format!("pid {pid} is building the index {} at this moment", index.name);
            let error = StepError::new(ErrorClass::Lock, message)
                .with_effect(engine.effect)
                .with_hint("wait for its end, or end it; then try again");
            return Err(Stop::failed(error));
        }
        engine
            .context
            .reporter
            .message(format!("drops the invalid index {}, which an interrupted build left", index.name));
        catalog::drop_index(session, index, patience).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stopover_model::sql::split;

    use super::*;

    fn handling(sql: &str) -> Handling {
        Handling::of(&split(sql).unwrap()[0].kind())
    }

    #[test]
    fn what_can_be_looked_for_is() {
        assert!(matches!(
            handling("CREATE INDEX CONCURRENTLY i ON t (a)"),
            Handling::BuildIndex { name: Some(_), .. }
        ));
        assert!(matches!(handling("DROP INDEX CONCURRENTLY i"), Handling::DropIndex { name: Some(_) }));
        assert_eq!(
            handling("REINDEX (VERBOSE) INDEX CONCURRENTLY i"),
            Handling::Reindex { scope: Scope::TableOfIndex(Name::unqualified("i")) }
        );
        assert_eq!(handling("VACUUM t"), Handling::Repeat);
        assert_eq!(handling("REINDEX SCHEMA s"), Handling::Repeat);
        let (registry, name) = (Registry::Databases, "d".to_owned());
        assert_eq!(handling("DROP DATABASE IF EXISTS d"), Handling::Drop { registry, name });
        let (registry, name) = (Registry::Subscriptions, "s".to_owned());
        assert_eq!(
            handling("CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p"),
            Handling::Create { registry, name }
        );
        assert_eq!(handling("ALTER SYSTEM SET work_mem = '5MB'"), Handling::Repeat);
        assert_eq!(handling("COMMIT PREPARED 'x'"), Handling::Atomic);
        assert_eq!(handling("DO $$ BEGIN COMMIT; END $$"), Handling::Opaque);
        assert_eq!(handling("CALL p()"), Handling::Opaque);
    }

    #[test]
    fn only_what_may_have_committed_half_of_its_work_is_not_repeated() {
        assert!(!Handling::Opaque.may_repeat() && !Handling::Opaque.leaves_nothing());
        assert!(Handling::Atomic.may_repeat() && Handling::Atomic.leaves_nothing());
    }
}
