//! What a statement of a down script takes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;

/// An object that a statement of a down script takes, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// From 0, in down.sql.
    pub statement: u32,
    /// `column users.plan`
    pub object: String,
    pub how: Taking,
    /// The rows that hold something there. None: there are none, as of a view; or it can't be seen, which `note` says.
    pub held: Option<Held>,
    /// What becomes of them. None: nobody has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fate: Option<Fate>,
    /// What goes with it: `index users_plan_idx`.
    pub along: Vec<String>,
    /// What depends on it, so that PostgreSQL refuses to take it (2BP01): `view paying_users`.
    pub in_the_way: Vec<String>,
    /// For people: functions that speak of it, or why nothing more is known.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taking {
    Dropped,
    /// Its rows go, and it stays.
    Emptied,
    /// Its values get another type, which may hold less.
    Converted,
    /// What happens to it can't be seen before it runs.
    Hidden,
}

/// What becomes of the values that go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// They are saved first. The stage's next migration purges them when that is so long ago; None: nothing does.
    Saved {
        #[serde(default, with = "duration::optional", skip_serializing_if = "Option::is_none")]
        keep_for: Option<Duration>,
    },
    /// Nothing keeps them, and why.
    Lost { why: String },
}

/// How much an object holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub rows: u64,
    /// Counted, or estimated from a part of the table.
    pub counted: bool,
    pub bytes: u64,
    pub since: WrittenSince,
}

/// How many of those rows were written after the migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrittenSince {
    /// By what that is known: the age of their transactions, say.
    Rows { rows: u64, basis: String },
    /// And why.
    Unknown { why: String },
}

impl Taken {
    /// Rows or values go, or nobody can see whether they do.
    #[must_use]
    pub fn takes_data(&self) -> bool {
        self.how == Taking::Hidden || self.held.as_ref().is_some_and(|held| held.rows > 0)
    }

    /// Some of them are nowhere but in the backup then, as far as that is known.
    #[must_use]
    pub fn loses_data(&self) -> bool {
        self.takes_data() && !matches!(self.fate, Some(Fate::Saved { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(how: Taking, rows: Option<u64>) -> Taken {
        let since = WrittenSince::Unknown { why: "nobody looked".into() };
        Taken {
            statement: 0,
            object: "column t.a".into(),
            how,
            held: rows.map(|rows| Held { rows, counted: true, bytes: 1, since }),
            fate: None,
            along: Vec::new(),
            in_the_way: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn what_can_not_be_seen_may_be_lost() {
        assert!(taken(Taking::Hidden, None).loses_data());
        assert!(taken(Taking::Dropped, Some(1)).loses_data());
        assert!(!taken(Taking::Dropped, Some(0)).loses_data());
        assert!(!taken(Taking::Dropped, None).loses_data(), "an index");
    }

    #[test]
    fn what_is_saved_goes_and_is_not_lost() {
        let saved = Taken { fate: Some(Fate::Saved { keep_for: None }), ..taken(Taking::Dropped, Some(1)) };
        assert!(saved.takes_data() && !saved.loses_data());
        let lost = Taken { fate: Some(Fate::Lost { why: "save = false".into() }), ..saved };
        assert!(lost.takes_data() && lost.loses_data());
    }
}
