//! What a statement drops, empties or converts, by its own tokens, so that it can be saved before and told about.
//!
//! Only what the statement names is known here: which partitions, columns and views go along is the database's to say. A
//! DO block is not run in the head: it is only told apart when it speaks of dropping.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::do_block::{DoBlock, strings};
use super::lexer::TokenKind;
use super::name::Name;
use super::split::Statement;

/// One object that a statement names in order to drop, empty or convert it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drop {
    pub target: DropTarget,
    /// That it is not there is no error.
    pub if_exists: bool,
    /// What depends on it goes as well.
    pub cascade: bool,
}

/// What is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "snake_case")]
pub enum DropTarget {
    /// With its rows, indexes, constraints and triggers, and with its partitions.
    Table {
        table: Name,
    },
    Column {
        table: Name,
        column: String,
        /// Tables that inherit it keep it, as a column of their own.
        only: bool,
    },
    Constraint {
        table: Name,
        name: String,
    },
    /// All rows of a table.
    Emptied {
        table: Name,
        by: Emptying,
        /// Tables that inherit from it keep their rows.
        only: bool,
    },
    /// ALTER COLUMN TYPE: what the new type can't hold is lost.
    Converted {
        table: Name,
        column: String,
    },
    View {
        view: Name,
    },
    MaterializedView {
        view: Name,
    },
    Index {
        index: Name,
        concurrently: bool,
    },
    /// With CASCADE, the columns of it as well.
    Type {
        name: Name,
    },
    /// An attribute of a composite type, and with it that part of each stored value.
    Attribute {
        name: Name,
        attribute: String,
    },
    /// With CASCADE, all that is in it.
    Schema {
        schema: String,
    },
    /// With its tables, and with CASCADE the columns of its types.
    Extension {
        extension: String,
    },
    /// All that a role owns in the database.
    OwnedBy {
        role: String,
    },
    /// A function, sequence, trigger, policy: anything without rows.
    Other {
        /// In lower case, as SQL calls it.
        object: String,
        name: Name,
    },
    /// A block of code that speaks of dropping or emptying something; what that is can't be known before it runs.
    Hidden {
        /// DO, or what stands in a string that a block executes.
        command: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Emptying {
    Truncate,
    /// DELETE without WHERE.
    Delete,
}

impl Drop {
    /// Rows, or values in rows, may go with it.
    #[must_use]
    pub fn may_lose_data(&self) -> bool {
        match &self.target {
            DropTarget::Table { .. }
            | DropTarget::Column { .. }
            | DropTarget::Emptied { .. }
            | DropTarget::Converted { .. }
            | DropTarget::Attribute { .. }
            | DropTarget::Extension { .. }
            | DropTarget::OwnedBy { .. }
            | DropTarget::Hidden { .. } => true,
            DropTarget::Schema { .. } | DropTarget::Type { .. } => self.cascade,
            DropTarget::Other { object, .. } => self.cascade && object != "trigger",
            DropTarget::View { .. }
            | DropTarget::MaterializedView { .. }
            | DropTarget::Constraint { .. }
            | DropTarget::Index { .. } => false,
        }
    }
}

impl Statement<'_> {
    /// What the statement drops, empties or converts, in the order in which it says so.
    #[must_use]
    pub fn drops(&self) -> Vec<Drop> {
        drops(self.text)
    }
}

fn drops(text: &str) -> Vec<Drop> {
    let mut at = Cursor::new(text);
    let Some(verb) = at.peek_word() else { return Vec::new() };
    at.next();
    let found = match verb.as_str() {
        "DROP" => drop(at),
        "ALTER" => alter(at),
        "TRUNCATE" => truncate(at),
        "DELETE" => delete(at),
        "DO" => hidden(at),
        _ => None,
    };
    found.unwrap_or_default()
}

fn drop(mut at: Cursor<'_>) -> Option<Vec<Drop>> {
    if at.words(&["owned", "by"]) {
        let roles = names(&mut at, true);
        return Some(many(at, false, roles, |role| DropTarget::OwnedBy { role: role.name }));
    }
    let object = object(&mut at)?;
    let concurrently = object == "index" && at.word("concurrently");
    let if_exists = at.words(&["if", "exists"]);
    let named = if matches!(object.as_str(), "function" | "procedure" | "routine" | "aggregate") {
        names(&mut at, false)
    } else if matches!(object.as_str(), "operator" | "cast" | "transform") {
        return None;
    } else {
        names(&mut at, true)
    };
    Some(many(at, if_exists, named, |name| match object.as_str() {
        "table" => DropTarget::Table { table: name },
        "view" => DropTarget::View { view: name },
        "materialized view" => DropTarget::MaterializedView { view: name },
        "index" => DropTarget::Index { index: name, concurrently },
        "type" | "domain" => DropTarget::Type { name },
        "schema" => DropTarget::Schema { schema: name.name },
        "extension" => DropTarget::Extension { extension: name.name },
        _ => DropTarget::Other { object: object.clone(), name },
    }))
}

/// What kind of thing is dropped, in lower case.
fn object(at: &mut Cursor<'_>) -> Option<String> {
    let mut words = at.peek_word()?;
    at.next();
    let second: &[&str] = match words.as_str() {
        "MATERIALIZED" => &["view"],
        "FOREIGN" => &["table", "data"],
        "EVENT" => &["trigger"],
        "ACCESS" => &["method"],
        "TEXT" => &["search"],
        "USER" => &["mapping"],
        "OPERATOR" => &["class", "family"],
        "PROCEDURAL" => &["language"],
        _ => &[],
    };
    let next = second.iter().find(|word| at.word(word));
    if let Some(next) = next {
        words = format!("{words} {next}");
        if matches!(*next, "data" | "search") {
            at.next();
        }
    }
    Some(words.to_ascii_lowercase())
}

/// The names that follow, each with the arguments of a function behind it.
fn names(at: &mut Cursor<'_>, plain: bool) -> Vec<Name> {
    let mut names = Vec::new();
    while let Some(name) = at.name() {
        names.push(name);
        at.symbol(b'*');
        if !plain {
            at.skip_parentheses();
        }
        if !at.symbol(b',') {
            break;
        }
    }
    names
}

fn many(at: Cursor<'_>, if_exists: bool, names: Vec<Name>, target: impl Fn(Name) -> DropTarget) -> Vec<Drop> {
    let cascade = at.has_words(&["cascade"]);
    names.into_iter().map(|name| Drop { target: target(name), if_exists, cascade }).collect()
}

fn alter(mut at: Cursor<'_>) -> Option<Vec<Drop>> {
    if at.word("type") {
        return alter_type(at);
    }
    at.word("foreign");
    if !at.word("table") || at.words(&["all", "in", "tablespace"]) {
        return None;
    }
    let table_if_exists = at.words(&["if", "exists"]);
    let only = at.word("only");
    let table = at.name()?;
    at.symbol(b'*');
    let mut drops = Vec::new();
    while !at.is_at_end() {
        let mut action = at;
        let target = alter_action(&mut action, &table, only);
        while at.next_at_top().is_some_and(|t| t.kind != TokenKind::Symbol(b',')) {}
        if let Some((target, if_exists)) = target {
            let cascade = action.word("cascade");
            drops.push(Drop { target, if_exists: if_exists || table_if_exists, cascade });
        }
    }
    Some(drops)
}

/// What an action of ALTER TABLE drops or converts, and whether it may be missing; behind it the behaviour is next.
fn alter_action(at: &mut Cursor<'_>, table: &Name, only: bool) -> Option<(DropTarget, bool)> {
    let table = table.clone();
    if at.words(&["drop", "constraint"]) {
        let if_exists = at.words(&["if", "exists"]);
        return Some((DropTarget::Constraint { table, name: at.identifier()? }, if_exists));
    }
    if at.word("drop") {
        at.word("column");
        let if_exists = at.words(&["if", "exists"]);
        return Some((DropTarget::Column { table, column: at.identifier()?, only }, if_exists));
    }
    if at.word("alter") {
        at.word("column");
        let column = at.identifier()?;
        let converts = at.word("type") || at.words(&["set", "data", "type"]);
        return converts.then_some((DropTarget::Converted { table, column }, false));
    }
    None
}

fn alter_type(mut at: Cursor<'_>) -> Option<Vec<Drop>> {
    let name = at.name()?;
    let mut drops = Vec::new();
    while !at.is_at_end() {
        let mut action = at;
        while at.next_at_top().is_some_and(|t| t.kind != TokenKind::Symbol(b',')) {}
        if action.words(&["drop", "attribute"]) {
            let if_exists = action.words(&["if", "exists"]);
            let attribute = action.identifier()?;
            let cascade = action.word("cascade");
            let target = DropTarget::Attribute { name: name.clone(), attribute };
            drops.push(Drop { target, if_exists, cascade });
        }
    }
    Some(drops)
}

fn truncate(mut at: Cursor<'_>) -> Option<Vec<Drop>> {
    at.word("table");
    let mut emptied = Vec::new();
    loop {
        let only = at.word("only");
        let table = at.name()?;
        at.symbol(b'*');
        emptied.push(DropTarget::Emptied { table, by: Emptying::Truncate, only });
        if !at.symbol(b',') {
            break;
        }
    }
    let cascade = at.has_words(&["cascade"]);
    Some(emptied.into_iter().map(|target| Drop { target, if_exists: false, cascade }).collect())
}

fn delete(mut at: Cursor<'_>) -> Option<Vec<Drop>> {
    at.word("from");
    let only = at.word("only");
    let table = at.name()?;
    if at.has_words(&["where"]) {
        return None;
    }
    let target = DropTarget::Emptied { table, by: Emptying::Delete, only };
    Some(vec![Drop { target, if_exists: false, cascade: false }])
}

/// A block that says DROP TABLE, DROP COLUMN, TRUNCATE and their like anywhere, in what it executes too.
fn hidden(at: Cursor<'_>) -> Option<Vec<Drop>> {
    let body = DoBlock::read(at).body;
    let command = loses(&body).or_else(|| strings(&body).find_map(|(_, text)| loses(&text)))?;
    let target = DropTarget::Hidden { command };
    Some(vec![Drop { target, if_exists: false, cascade: false }])
}

/// The first command in a text that can lose rows.
fn loses(text: &str) -> Option<String> {
    let mut at = Cursor::new(text);
    while !at.is_at_end() {
        if at.word("truncate") {
            return Some("TRUNCATE".to_owned());
        }
        if at.words(&["drop", "owned"]) {
            return Some("DROP OWNED".to_owned());
        }
        let mut ahead = at;
        if ahead.word("drop") {
            let losing = ["table", "column", "schema", "type", "domain", "extension", "attribute"];
            if let Some(object) = losing.iter().find(|object| ahead.word(object)) {
                return Some(format!("DROP {}", object.to_ascii_uppercase()));
            }
        }
        at.next()?;
    }
    None
}

/// For people: `table users`, `column users.name`.
impl fmt::Display for DropTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name: &str| Name::unqualified(name).to_string();
        match self {
            Self::Table { table } => write!(f, "table {table}"),
            Self::Column { table, column, .. } | Self::Converted { table, column } => {
                write!(f, "column {table}.{}", part(column))
            }
            Self::Constraint { table, name } => write!(f, "constraint {} of {table}", part(name)),
            Self::Emptied { table, .. } => write!(f, "all rows of {table}"),
            Self::View { view } => write!(f, "view {view}"),
            Self::MaterializedView { view } => write!(f, "materialized view {view}"),
            Self::Index { index, .. } => write!(f, "index {index}"),
            Self::Type { name } => write!(f, "type {name}"),
            Self::Attribute { name, attribute } => write!(f, "attribute {name}.{}", part(attribute)),
            Self::Schema { schema } => write!(f, "schema {}", part(schema)),
            Self::Extension { extension } => write!(f, "extension {}", part(extension)),
            Self::OwnedBy { role } => write!(f, "all that {} owns", part(role)),
            Self::Other { object, name } => write!(f, "{object} {name}"),
            Self::Hidden { command } => write!(f, "what the {command} in a block drops"),
        }
    }
}

#[cfg(test)]
mod tests;
