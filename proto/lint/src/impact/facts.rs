//! What has to be known of a database to say what a statement would do to it. The agent asks; the names of the fields are
//! those of its query's JSON.

use serde::Deserialize;

/// What is known of one database.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Facts {
    /// 150018 for 15.18.
    pub version: u32,
    /// Whether the session's time zone is UTC all the year round.
    pub utc: bool,
    /// The schemas in which a name without one is looked for, in order.
    pub search_path: Vec<String>,
    pub relations: Vec<Relation>,
    pub functions: Vec<Function>,
    pub types: Vec<Type>,
    /// From a type to one whose values look the same on disk.
    pub binary_casts: Vec<(u32, u32)>,
}

/// A table, a view, an index or a sequence.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Relation {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// As in `pg_class.relkind`.
    pub kind: char,
    pub partition: bool,
    /// The statistics' estimate, of its own rows alone.
    pub rows: u64,
    /// With TOAST, without indexes.
    pub heap_bytes: u64,
    pub index_bytes: u64,
    pub parents: Vec<u32>,
    /// The default partition of a partitioned table.
    pub default_partition: Option<u32>,
    pub columns: Vec<Column>,
    pub checks: Vec<Check>,
    /// Those that its own rows must keep.
    pub foreign_keys: Vec<ForeignKey>,
    pub indexes: Vec<Index>,
    pub triggers: Vec<Trigger>,
    /// What a view looks at.
    pub reads: Vec<Seen>,
    /// Its extended statistics.
    pub statistics: Vec<String>,
    /// Whether its statements are rewritten by rules.
    pub rules: bool,
    /// Created by a script that is looked at: nobody else has it in use.
    #[serde(skip)]
    pub is_new: bool,
}

/// A relation that a view looks at, and which of its columns.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Seen {
    pub oid: u32,
    pub columns: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub type_oid: u32,
    pub typmod: i32,
    pub not_null: bool,
    pub generated: bool,
    pub has_default: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Check {
    pub name: String,
    pub valid: bool,
    pub columns: Vec<String>,
    /// As `pg_get_constraintdef` shows it.
    pub definition: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ForeignKey {
    pub name: String,
    pub to: u32,
    pub valid: bool,
    pub columns: Vec<String>,
    pub to_columns: Vec<String>,
    /// As in `pg_constraint.confdeltype`.
    pub on_delete: char,
    pub on_update: char,
    /// A partition's part of its parent's.
    pub inherited: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "so the catalog describes an index")]
pub struct Index {
    pub oid: u32,
    pub name: String,
    /// Its key; no name for an expression.
    pub key: Vec<Option<String>>,
    /// All that it depends on.
    pub columns: Vec<String>,
    pub unique: bool,
    pub primary: bool,
    /// With a WHERE.
    pub partial: bool,
    /// Whether a constraint stands on it, whose name it has.
    pub constraint: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Trigger {
    pub oid: u32,
    pub name: String,
    /// As in `pg_trigger.tgtype`.
    #[serde(rename = "type")]
    pub bits: i16,
    /// As in `pg_trigger.tgenabled`.
    pub enabled: char,
    /// With its schema.
    pub function: String,
    /// Of UPDATE OF.
    pub columns: Vec<String>,
    /// The trigger of the partitioned table that it is a copy of.
    pub parent: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Function {
    pub schema: String,
    pub name: String,
    /// How many arguments it takes, at least and at most.
    pub least: i32,
    pub most: i32,
    /// As in `pg_proc.provolatile`.
    pub volatility: char,
    /// Part of PostgreSQL.
    pub built_in: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Type {
    pub oid: u32,
    pub schema: String,
    pub name: String,
    /// As in `pg_type.typtype`.
    pub kind: char,
    /// Of a domain.
    pub base: u32,
    pub base_typmod: i32,
    /// Whether it is a domain with constraints of its own.
    pub constrained: bool,
    /// 0 where there is none.
    pub array: u32,
}

impl Relation {
    /// Whether there are rows of its own to go through.
    #[must_use]
    pub fn has_storage(&self) -> bool {
        matches!(self.kind, 'r' | 'm')
    }

    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

impl Check {
    /// Whether, being valid, it says that the column is never NULL.
    #[must_use]
    pub fn proves_not_null(&self, column: &str) -> bool {
        let text = self.definition.trim().trim_end_matches("NO INHERIT").trim();
        let Some(text) = text.strip_prefix("CHECK ").filter(|_| self.valid) else { return false };
        let wanted = format!("{} IS NOT NULL", stopover_model::sql::Name::unqualified(column));
        let also = format!("{} IS NOT NULL", stopover_model::sql::quoted(column));
        let part = |part: &str| {
            let part = part.trim_matches(['(', ')', ' ']);
            part == wanted || part == also
        };
        // An OR anywhere, and this proves nothing.
        !text.contains(" OR ") && text.split(" AND ").any(part)
    }
}

impl ForeignKey {
    /// Whether a change of the row that it points to changes rows here.
    pub(super) fn acts(action: char) -> bool {
        matches!(action, 'c' | 'n' | 'd')
    }
}
