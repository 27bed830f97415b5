//! `diesel_cli`.

use super::Tool;
use crate::shop::{Change, Shop};

pub(crate) struct Diesel;

impl Tool for Diesel {
    fn name(&self) -> &'static str {
        "diesel"
    }

    fn version(&self, shop: &Shop) -> String {
        let printed = shop.run(&["diesel", "--version"]);
        let version = printed.lines().find_map(|line| line.trim().strip_prefix("Version: "));
        format!("diesel_cli {}", version.expect("a version"))
    }

    fn begin(&self, shop: &Shop) -> Vec<String> {
        shop.write("Cargo.toml", "");
        shop.run(&["diesel", "setup"]);
        vec!["00000000000000_diesel_initial_setup".to_owned()]
    }

    fn write(&self, shop: &Shop, change: &Change) -> String {
        let created = shop.generate(&["diesel", "migration", "generate", change.name]);
        for file in &created {
            let sql = if file.ends_with("down.sql") { change.down } else { change.up };
            shop.write(file, &format!("{}{sql}\n", shop.read(file)));
        }
        let directory = created[0].rsplit_once('/').expect("a directory").0;
        if change.alone {
            shop.write(&format!("{directory}/metadata.toml"), "run_in_transaction = false\n");
        }
        directory.rsplit('/').next().expect("a name").to_owned()
    }

    fn apply(&self, shop: &Shop) {
        shop.run(&["diesel", "migration", "run"]);
    }

    fn applied(&self, shop: &Shop) -> Vec<String> {
        let listed = shop.run(&["diesel", "migration", "list"]);
        listed.lines().filter_map(|line| Some(line.trim().strip_prefix("[X] ")?.to_owned())).collect()
    }

    fn history(&self) -> &'static [&'static str] {
        &["--table=__diesel_schema_migrations"]
    }
}
