//! dbmate.

use super::Tool;
use crate::shop::{Change, Shop};

pub(crate) struct Dbmate;

impl Tool for Dbmate {
    fn name(&self) -> &'static str {
        "dbmate"
    }

    fn version(&self, shop: &Shop) -> String {
        shop.run(&["dbmate", "--version"]).trim().replace("version ", "")
    }

    fn begin(&self, _shop: &Shop) -> Vec<String> {
        Vec::new()
    }

    fn write(&self, shop: &Shop, change: &Change) -> String {
        let created = shop.generate(&["dbmate", "new", change.name]);
        let file = &created[0];
        let template = shop.read(file);
        let (up, down) = template.split_once("\n-- migrate:down\n").expect("a way back in the template");
        let option = if change.alone { " transaction:false" } else { "" };
        let up = up.replace("-- migrate:up\n", &format!("-- migrate:up{option}\n{}\n", change.up));
        shop.write(file, &format!("{up}\n-- migrate:down{option}\n{}{down}", change.down));
        file.rsplit('/').next().expect("a name").trim_end_matches(".sql").to_owned()
    }

    fn apply(&self, shop: &Shop) {
        shop.run(&["dbmate", "--no-dump-schema", "migrate"]);
    }

    fn applied(&self, shop: &Shop) -> Vec<String> {
        let listed = shop.run(&["dbmate", "status"]);
        let applied = listed.lines().filter_map(|line| line.trim().strip_prefix("[X] "));
        applied.map(|file| file.trim_end_matches(".sql").to_owned()).collect()
    }

    fn directory(&self) -> &'static str {
        "db/migrations"
    }

    fn history(&self) -> &'static [&'static str] {
        &["--table=schema_migrations"]
    }
}
