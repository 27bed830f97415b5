//! Rails' `ActiveRecord`. Its migrations are Ruby, which Stopover does not read: each has a twin in SQL, numbered alike.

use super::Tool;
use crate::shop::{Change, Shop};

pub(crate) struct Rails;

/// What Rails' rake tasks call.
const RUNNER: &str = r#"
gem "activerecord"
require "active_record"
ActiveRecord::Base.establish_connection(ENV.fetch("DATABASE_URL"))
ActiveRecord::Migration.verbose = false
context = ActiveRecord::MigrationContext.new("db/migrate", ActiveRecord::SchemaMigration)
case ARGV[0]
when "version" then puts ActiveRecord::VERSION::STRING
when "migrate" then context.migrate
when "status" then context.migrations_status.each { |row| puts row.join("\t") }
end
"#;

impl Tool for Rails {
    fn name(&self) -> &'static str {
        "rails"
    }

    fn version(&self, shop: &Shop) -> String {
        format!("activerecord {}", shop.run(&["ruby", "runner.rb", "version"]).trim())
    }

    fn begin(&self, shop: &Shop) -> Vec<String> {
        shop.write("runner.rb", RUNNER);
        Vec::new()
    }

    fn write(&self, shop: &Shop, change: &Change) -> String {
        let known =
            if shop.directory().join("migrations").exists() { shop.files("migrations").len() } else { 0 };
        let id = format!("{}_{}", 20_260_501_120_000 + known, change.name);
        let class: String = change.name.split('_').map(capitalized).collect();
        let alone = if change.alone { "  disable_ddl_transaction!\n\n" } else { "" };
        let text = format!(
            "class {class} < ActiveRecord::Migration[6.1]\n{alone}  def up\n    execute {:?}\n  end\n\n  def down\n    \
             execute {:?}\n  end\nend\n",
            change.up, change.down
        );
        shop.write(&format!("db/migrate/{id}.rb"), &text);
        shop.write(&format!("migrations/{id}.sql"), &format!("{}\n", change.up));
        id
    }

    fn apply(&self, shop: &Shop) {
        shop.run(&["ruby", "runner.rb", "migrate"]);
    }

    fn applied(&self, shop: &Shop) -> Vec<String> {
        let listed = shop.run(&["ruby", "runner.rb", "status"]);
        let up = listed.lines().filter_map(|line| line.strip_prefix("up\t")?.split_once('\t'));
        up.map(|(version, name)| format!("{version}_{}", name.to_lowercase().replace(' ', "_"))).collect()
    }

    fn history(&self) -> &'static [&'static str] {
        &["--table=schema_migrations", "--table=ar_internal_metadata"]
    }
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}
