//! sqitch: with a change that failed once, a tag, and a change that was reworked.

use super::Tool;
use crate::shop::{Change, Shop};

pub(crate) struct Sqitch;

const COUNT: Change = Change {
    name: "count_users",
    up: "CREATE OR REPLACE FUNCTION count_users() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM users';",
    down: "DROP FUNCTION count_users();",
    alone: false,
};

const REWORKED: &str = "CREATE OR REPLACE FUNCTION count_users() RETURNS bigint LANGUAGE sql AS
    'SELECT count(email) FROM users';";

impl Tool for Sqitch {
    fn name(&self) -> &'static str {
        "sqitch"
    }

    fn version(&self, shop: &Shop) -> String {
        shop.run(&["sqitch", "--version"]).trim().replace("(App::Sqitch) v", "")
    }

    fn begin(&self, shop: &Shop) -> Vec<String> {
        shop.run(&["git", "init", "--quiet", "."]);
        shop.run(&["sqitch", "config", "--user", "user.name", "A Person"]);
        shop.run(&["sqitch", "config", "--user", "user.email", "person@example.com"]);
        shop.run(&["sqitch", "init", "shop", "--engine", "pg", "--top-dir", "migrations"]);
        Vec::new()
    }

    fn write(&self, shop: &Shop, change: &Change) -> String {
        shop.run(&["sqitch", "add", change.name, "--note", change.name]);
        for (kind, sql) in [("deploy", change.up), ("revert", change.down)] {
            fill(shop, &format!("migrations/{kind}/{}.sql", change.name), sql, change.alone);
        }
        change.name.to_owned()
    }

    fn more(&self, shop: &Shop) -> Vec<String> {
        self.apply(shop);
        let first = self.write(shop, &COUNT);
        let file = "migrations/deploy/count_users.sql";
        let right = shop.read(file);
        shop.write(file, &right.replace("FROM users", "FROM absent"));
        let failed = shop.output(&["sqitch", "deploy", &target(shop)], &[]);
        assert!(!failed.status.success(), "{failed:#?}");
        shop.write(file, &right);
        self.apply(shop);
        shop.run(&["sqitch", "tag", "v1.0", "--note", "First"]);
        shop.run(&["sqitch", "rework", COUNT.name, "--note", "Only those with an address"]);
        let text = shop.read(file);
        shop.write(file, &text.replace(COUNT.up, REWORKED));
        vec![first, "count_users.2".to_owned()]
    }

    fn apply(&self, shop: &Shop) {
        shop.run(&["sqitch", "deploy", &target(shop)]);
    }

    fn applied(&self, shop: &Shop) -> Vec<String> {
        let listed = shop.run(&["sqitch", "status", "--show-changes", "--date-format", "raw", &target(shop)]);
        // "#   count_users - 2026-05-01T12:00:00Z - A Person", the latest first, below a line of its own.
        let lines = listed.lines().skip_while(|line| *line != "# Changes:").skip(1);
        let names = lines.map_while(|line| line.strip_prefix("#   ")?.split_whitespace().next());
        let mut names: Vec<_> = names.map(str::to_owned).collect();
        names.reverse();
        let mut seen: Vec<String> = Vec::new();
        for name in names {
            let earlier = seen.iter().filter(|other| other.split('.').next() == Some(name.as_str())).count();
            seen.push(if earlier == 0 { name } else { format!("{name}.{}", earlier + 1) });
        }
        seen
    }

    fn history(&self) -> &'static [&'static str] {
        &["--schema=sqitch"]
    }
}

/// `db:pg://…`
fn target(shop: &Shop) -> String {
    format!("db:pg:{}", shop.url().strip_prefix("postgres:").expect("a URL of PostgreSQL"))
}

fn fill(shop: &Shop, file: &str, sql: &str, alone: bool) {
    let mut text = shop.read(file).replace("-- XXX Add DDLs here.", sql);
    if alone {
        text = text.replace("BEGIN;\n\n", "").replace("\nCOMMIT;\n", "");
    }
    shop.write(file, &text);
}
