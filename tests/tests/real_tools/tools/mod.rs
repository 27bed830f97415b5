//! The tools, each asked in its own words.

mod dbmate;
mod diesel;
mod liquibase;
mod rails;
mod sqitch;
mod sqlx;

pub(crate) use dbmate::Dbmate;
pub(crate) use diesel::Diesel;
pub(crate) use liquibase::Liquibase;
pub(crate) use rails::Rails;
pub(crate) use sqitch::Sqitch;
pub(crate) use sqlx::Sqlx;

use crate::shop::{Change, Shop};

/// A migration tool, as its users use it.
pub(crate) trait Tool {
    /// The name of its recorded history.
    fn name(&self) -> &'static str;

    /// Its own word for it.
    fn version(&self, shop: &Shop) -> String;

    /// Makes an empty project. Gives the ids of what the tool has written and applied by itself.
    fn begin(&self, shop: &Shop) -> Vec<String>;

    /// Writes a migration, with the tool's own generator where it has one. Gives the id that Stopover has to read.
    fn write(&self, shop: &Shop, change: &Change) -> String;

    /// What only this tool can do, before everything is applied. Gives the ids of more migrations, which come next.
    fn more(&self, _shop: &Shop) -> Vec<String> {
        Vec::new()
    }

    /// Applies all that is pending.
    fn apply(&self, shop: &Shop);

    /// What it says is applied, by Stopover's ids, in order.
    fn applied(&self, shop: &Shop) -> Vec<String>;

    /// The directory that Stopover is given.
    fn directory(&self) -> &'static str {
        "migrations"
    }

    /// What selects its history for `pg_dump`.
    fn history(&self) -> &'static [&'static str];
}
