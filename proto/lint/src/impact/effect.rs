//! What a statement does, put together piece by piece.

use squawk_syntax::ast;
use stopover_model::impact::{FiringTrigger, LockMode, LockTaken, StatementImpact, Work, WorkKind};

use super::names;
use super::world::World;

#[derive(Debug, Default)]
pub(super) struct Effect {
    locks: Vec<Lock>,
    work: Vec<Work>,
    triggers: Vec<FiringTrigger>,
    notes: Vec<String>,
    unseen: Vec<String>,
}

#[derive(Debug)]
struct Lock {
    oid: u32,
    /// As the relation is called before the statement.
    relation: String,
    mode: LockMode,
    why: Option<String>,
}

impl Effect {
    pub(super) fn lock(&mut self, world: &World, oid: u32, mode: LockMode) {
        self.lock_for(world, oid, mode, None);
    }

    /// A relation that the statement does not name.
    pub(super) fn lock_because(&mut self, world: &World, oid: u32, mode: LockMode, why: impl Into<String>) {
        self.lock_for(world, oid, mode, Some(why.into()));
    }

    fn lock_for(&mut self, world: &World, oid: u32, mode: LockMode, why: Option<String>) {
        if !world.is_old(oid) {
            return;
        }
        match self.locks.iter_mut().find(|lock| lock.oid == oid) {
            Some(lock) if lock.mode < mode => {
                lock.mode = mode;
                // Being named is reason enough.
                lock.why = lock.why.take().and(why);
            }
            Some(lock) if why.is_none() => lock.why = None,
            Some(_) => {}
            None => self.locks.push(Lock { oid, relation: world.name(oid), mode, why }),
        }
    }

    /// A lock on something that is no relation of the facts: an index.
    pub(super) fn lock_named(&mut self, relation: String, oid: u32, mode: LockMode) {
        if !self.locks.iter().any(|lock| lock.oid == oid) {
            self.locks.push(Lock { oid, relation, mode, why: None });
        }
    }

    /// It and all that inherit from it.
    pub(super) fn lock_tree(&mut self, world: &World, oid: u32, mode: LockMode) {
        for child in world.tree(oid) {
            if child == oid {
                self.lock(world, oid, mode);
            } else {
                self.lock_because(world, child, mode, below(world, oid));
            }
        }
    }

    /// Goes through a relation and all that inherit from it.
    pub(super) fn works_through(&mut self, world: &World, oid: u32, kind: WorkKind) {
        self.works_on(world, kind, &world.stored(oid));
    }

    pub(super) fn works_on(&mut self, world: &World, kind: WorkKind, stored: &[u32]) {
        for oid in stored {
            let Some(relation) = world.relation(*oid).filter(|r| !r.is_new) else { continue };
            let bytes = match kind {
                WorkKind::Rewrite => relation.heap_bytes + relation.index_bytes,
                WorkKind::Scan | WorkKind::BuildIndex | WorkKind::ChangeRows => relation.heap_bytes,
            };
            self.work(Work { kind, relation: relation.shown(), rows: relation.rows, bytes });
        }
    }

    /// One line for a kind of work on a relation; two indexes are built from the rows one after the other.
    pub(super) fn work(&mut self, work: Work) {
        let same = |known: &Work| known.kind == work.kind && known.relation == work.relation;
        match self.work.iter_mut().find(|known| same(known)) {
            Some(known) if work.kind == WorkKind::BuildIndex => known.bytes += work.bytes,
            Some(_) => {}
            None => self.work.push(work),
        }
    }

    pub(super) fn fires(&mut self, trigger: FiringTrigger) {
        if !self.triggers.contains(&trigger) {
            self.triggers.push(trigger);
        }
    }

    /// Something may be locked, or gone through, that can't be named.
    pub(super) fn unseen(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.unseen.contains(&what) {
            self.unseen.push(what);
        }
    }

    /// About the relations that are locked; where there are none but new ones, nobody needs it.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    pub(super) fn finish(mut self, index: usize) -> StatementImpact {
        // Where a table is written anew, its rows are checked and its indexes built on the way.
        let rewritten: Vec<String> = self
            .work
            .iter()
            .filter(|work| work.kind == WorkKind::Rewrite)
            .map(|work| work.relation.clone())
            .collect();
        self.work.retain(|work| {
            work.kind == WorkKind::Rewrite
                || work.kind == WorkKind::ChangeRows
                || !rewritten.contains(&work.relation)
        });
        self.work.sort_by_key(|work| work.kind);
        self.locks.sort_by_key(|lock| std::cmp::Reverse(lock.mode));
        let taken = |lock: Lock| LockTaken { relation: lock.relation, mode: lock.mode, why: lock.why };
        if self.locks.is_empty() && self.work.is_empty() {
            self.notes.clear();
        }
        let unseen = !self.unseen.is_empty();
        self.notes.extend(self.unseen);
        StatementImpact {
            index: u32::try_from(index).unwrap_or(u32::MAX),
            locks: self.locks.into_iter().map(taken).collect(),
            work: self.work,
            triggers: self.triggers,
            notes: self.notes,
            sample: None,
            unseen,
        }
    }
}

/// Why what inherits from a relation is locked with it.
pub(super) fn below(world: &World, oid: u32) -> String {
    let is_partitioned = world.is_partitioned(oid);
    let what = if is_partitioned { "a partition of" } else { "inherits from" };
    format!("{what} {}", world.name(oid))
}

/// The relation of that name with this lock.
pub(super) fn lock_named(
    world: &World,
    effect: &mut Effect,
    node: Option<impl ast::AstNode>,
    mode: LockMode,
) -> Option<u32> {
    let oid = world.find(&names::name_of(&node?)?)?;
    effect.lock(world, oid, mode);
    Some(oid)
}
