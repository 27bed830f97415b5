//! sqlx-cli.

use super::Tool;
use crate::shop::{Change, Shop};

/// With its two ways of naming files.
pub(crate) struct Sqlx {
    /// `0001_x.sql` with no way back, instead of `20260501120000_x.up.sql` and `.down.sql`.
    pub(crate) simple: bool,
}

impl Tool for Sqlx {
    fn name(&self) -> &'static str {
        if self.simple { "sqlx-simple" } else { "sqlx" }
    }

    fn version(&self, shop: &Shop) -> String {
        shop.run(&["sqlx", "--version"]).trim().to_owned()
    }

    fn begin(&self, _shop: &Shop) -> Vec<String> {
        Vec::new()
    }

    fn write(&self, shop: &Shop, change: &Change) -> String {
        let kind: &[_] = if self.simple { &["--simple", "--sequential"] } else { &["--reversible"] };
        let command = [&["sqlx", "migrate", "add"], kind, &[change.name]].concat();
        let created = shop.generate(&command);
        for file in &created {
            let sql = if file.ends_with(".down.sql") { change.down } else { change.up };
            let mark = if change.alone { "-- no-transaction\n" } else { "" };
            shop.write(file, &format!("{mark}{}{sql}\n", shop.read(file)));
        }
        let name = created[0].rsplit('/').next().expect("a name");
        name.trim_end_matches(".sql").trim_end_matches(".up").to_owned()
    }

    fn apply(&self, shop: &Shop) {
        shop.run(&["sqlx", "migrate", "run"]);
    }

    fn applied(&self, shop: &Shop) -> Vec<String> {
        // 20260501120000/installed orders index
        let listed = shop.run(&["sqlx", "migrate", "info"]);
        let installed = listed.lines().filter_map(|line| line.split_once("/installed "));
        // It shows no leading zeros.
        let width = if self.simple { 4 } else { 14 };
        installed.map(|(version, name)| format!("{version:0>width$}_{}", name.replace(' ', "_"))).collect()
    }

    fn history(&self) -> &'static [&'static str] {
        &["--table=_sqlx_migrations"]
    }
}
