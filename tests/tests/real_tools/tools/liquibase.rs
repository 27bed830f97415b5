//! Liquibase, with changes in formatted SQL: a file each, its changeset named as the file.

use super::Tool;
use crate::shop::{Change, Shop};

pub(crate) struct Liquibase;

const CHANGELOG: &str = "databaseChangeLog:\n  - includeAll:\n      path: migrations/\n";

const UNNEEDED: Change = Change {
    name: "unneeded",
    up: "CREATE TABLE unneeded (id bigint);",
    down: "DROP TABLE unneeded;",
    alone: false,
};

const UNMET: &str = "--preconditions onFail:MARK_RAN\n--precondition-sql-check expectedResult:1 SELECT 0\n";

impl Tool for Liquibase {
    fn name(&self) -> &'static str {
        "liquibase"
    }

    fn version(&self, shop: &Shop) -> String {
        let printed = shop.run(&["liquibase", "--version"]);
        let version = printed.lines().find_map(|line| line.trim().strip_prefix("Liquibase Version: "));
        format!("liquibase {}", version.expect("a version"))
    }

    fn begin(&self, shop: &Shop) -> Vec<String> {
        shop.write("changelog.yaml", CHANGELOG);
        Vec::new()
    }

    fn write(&self, shop: &Shop, change: &Change) -> String {
        let number =
            if shop.directory().join("migrations").exists() { shop.files("migrations").len() } else { 0 };
        let id = format!("{:04}_{}", number + 1, change.name);
        let option = if change.alone { " runInTransaction:false" } else { "" };
        let text = format!(
            "--liquibase formatted sql\n\n--changeset person:{id}{option}\n{}\n--rollback {}\n",
            change.up, change.down
        );
        shop.write(&format!("migrations/{id}.sql"), &text);
        id
    }

    /// One that Liquibase passed over, and marked as run.
    fn more(&self, shop: &Shop) -> Vec<String> {
        let id = self.write(shop, &UNNEEDED);
        let file = format!("migrations/{id}.sql");
        let text = shop.read(&file).replace(UNNEEDED.up, &format!("{UNMET}{}", UNNEEDED.up));
        shop.write(&file, &text);
        vec![id]
    }

    fn apply(&self, shop: &Shop) {
        liquibase(shop, "update");
    }

    fn applied(&self, shop: &Shop) -> Vec<String> {
        // "| DEPLOYMENT | DATE | migrations/0001_users.sql | person | 0001_users | TAG |"
        let listed = liquibase(shop, "history");
        let rows = listed.lines().filter(|line| line.contains("migrations/"));
        rows.map(|row| row.split('|').nth(5).expect("a column").trim().to_owned()).collect()
    }

    fn history(&self) -> &'static [&'static str] {
        &["--table=databasechangelog", "--table=databasechangeloglock"]
    }
}

fn liquibase(shop: &Shop, command: &str) -> String {
    let (credentials, place) =
        shop.url().strip_prefix("postgres://").and_then(|u| u.split_once('@')).expect("a URL");
    let (user, password) = credentials.split_once(':').expect("a password");
    shop.run(&[
        "liquibase",
        "--changelog-file=changelog.yaml",
        &format!("--url=jdbc:postgresql://{place}"),
        &format!("--username={user}"),
        &format!("--password={password}"),
        command,
    ])
}
