//! The database as it will be when a statement comes: what was found there, and what the statements before have changed.

use std::collections::BTreeSet;

use stopover_model::sql::Name;

use super::facts::{Facts, Index, Relation};

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) facts: Facts,
    /// The next of the oids given to what the scripts create.
    next: u32,
}

/// Above all that a database gives out while anybody looks at a plan of it.
const FIRST_NEW: u32 = 0xF000_0000;

impl World {
    pub(super) fn new(facts: Facts) -> Self {
        Self { facts, next: FIRST_NEW }
    }

    pub(super) fn find(&self, name: &Name) -> Option<u32> {
        let named = |schema: &String| {
            self.facts.relations.iter().find(|r| r.name == name.name && r.schema == *schema).map(|r| r.oid)
        };
        match &name.schema {
            Some(schema) => named(schema),
            None => self.facts.search_path.iter().find_map(named),
        }
    }

    pub(super) fn relation(&self, oid: u32) -> Option<&Relation> {
        self.facts.relations.iter().find(|r| r.oid == oid)
    }

    pub(super) fn relation_mut(&mut self, oid: u32) -> Option<&mut Relation> {
        self.facts.relations.iter_mut().find(|r| r.oid == oid)
    }

    /// Whether the server is of this major version or a later one.
    pub(super) fn is_since(&self, major: u32) -> bool {
        self.facts.version / 10_000 >= major
    }

    /// Whether anybody else can have it in use.
    pub(super) fn is_old(&self, oid: u32) -> bool {
        self.relation(oid).is_some_and(|r| !r.is_new)
    }

    /// Whether its rows are in partitions.
    pub(super) fn is_partitioned(&self, oid: u32) -> bool {
        self.relation(oid).is_some_and(|r| r.kind == 'p')
    }

    /// As SQL would name it.
    pub(super) fn name(&self, oid: u32) -> String {
        self.relation(oid).map_or_else(|| oid.to_string(), Relation::shown)
    }

    pub(super) fn children(&self, oid: u32) -> impl Iterator<Item = u32> {
        self.facts.relations.iter().filter(move |r| r.parents.contains(&oid)).map(|r| r.oid)
    }

    /// It and all that inherit from it.
    pub(super) fn tree(&self, oid: u32) -> Vec<u32> {
        let mut tree = vec![oid];
        let mut at = 0;
        while at < tree.len() {
            let new: Vec<u32> = self.children(tree[at]).filter(|child| !tree.contains(child)).collect();
            tree.extend(new);
            at += 1;
        }
        tree
    }

    pub(super) fn parents(&self, oid: u32) -> Vec<u32> {
        self.relation(oid).map(|r| r.parents.clone()).unwrap_or_default()
    }

    /// It and all that it inherits from.
    pub(super) fn ancestors(&self, oid: u32) -> BTreeSet<u32> {
        let mut found = BTreeSet::from([oid]);
        let mut left = vec![oid];
        while let Some(next) = left.pop() {
            left.extend(self.parents(next).into_iter().filter(|parent| found.insert(*parent)));
        }
        found
    }

    /// Those whose foreign keys point to it, itself left out.
    pub(super) fn referencing(&self, oid: u32) -> Vec<u32> {
        let points = |r: &&Relation| r.oid != oid && r.foreign_keys.iter().any(|key| key.to == oid);
        self.facts.relations.iter().filter(points).map(|r| r.oid).collect()
    }

    /// The views that look at it.
    pub(super) fn views_of(&self, oid: u32) -> Vec<u32> {
        let sees = |r: &&Relation| r.reads.iter().any(|seen| seen.oid == oid);
        self.facts.relations.iter().filter(sees).map(|r| r.oid).collect()
    }

    /// The table and the index of that name.
    pub(super) fn index(&self, name: &Name) -> Option<(u32, &Index)> {
        let named = |schema: &String| {
            let in_schema = self.facts.relations.iter().filter(move |r| r.schema == *schema);
            in_schema
                .flat_map(|r| r.indexes.iter().map(move |index| (r.oid, index)))
                .find(|(_, index)| index.name == name.name)
        };
        match &name.schema {
            Some(schema) => named(schema),
            None => self.facts.search_path.iter().find_map(named),
        }
    }

    pub(super) fn create(&mut self, name: &Name, kind: char) -> u32 {
        let oid = self.next;
        self.next += 1;
        let schema = name.schema.clone().or_else(|| self.creation_schema());
        self.facts.relations.push(Relation {
            oid,
            schema: schema.unwrap_or_else(|| "public".to_owned()),
            name: name.name.clone(),
            kind,
            is_new: true,
            ..Relation::default()
        });
        oid
    }

    pub(super) fn new_oid(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn forget(&mut self, oid: u32) {
        self.facts.relations.retain(|r| r.oid != oid);
        for relation in &mut self.facts.relations {
            relation.foreign_keys.retain(|key| key.to != oid);
            relation.parents.retain(|parent| *parent != oid);
        }
    }

    /// What has rows of its own among it and what inherits from it.
    pub(super) fn stored(&self, oid: u32) -> Vec<u32> {
        let has = |oid: &u32| self.relation(*oid).is_some_and(Relation::has_storage);
        self.tree(oid).into_iter().filter(has).collect()
    }

    /// Rows, and bytes without the indexes, of it and all that inherit from it.
    pub(super) fn size(&self, oid: u32) -> (u64, u64) {
        let stored = self.stored(oid).into_iter().filter_map(|oid| self.relation(oid));
        stored.fold((0, 0), |(rows, bytes), r| (rows + r.rows, bytes + r.heap_bytes))
    }

    fn creation_schema(&self) -> Option<String> {
        self.facts
            .search_path
            .iter()
            .find(|schema| *schema != "pg_catalog" && !schema.starts_with("pg_temp"))
            .cloned()
    }
}

impl Relation {
    pub(super) fn shown(&self) -> String {
        Name { schema: Some(self.schema.clone()), name: self.name.clone() }.to_string()
    }
}
