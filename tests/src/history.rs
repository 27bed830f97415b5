//! What other tools wrote into databases, as it lies in tests/histories.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::Cli;

/// The history of one tool.
#[derive(Debug)]
pub struct Recorded {
    /// The directory's name: the tool, and which of its ways.
    pub name: String,
    /// Its migrations.
    pub migrations: PathBuf,
    /// The tables that it keeps, as SQL.
    pub history: String,
    /// The same after a migration that failed, where the tool says so.
    pub refused: Option<String>,
    /// What the tool itself says is applied, by Stopover's ids.
    pub applied: Vec<String>,
}

/// Every history that is recorded.
///
/// # Panics
/// When one of them is not whole.
#[must_use]
pub fn recorded() -> Vec<Recorded> {
    let place = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/histories"));
    let entries = fs::read_dir(place).expect("the histories can be listed");
    let mut directories: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    directories.retain(|path| path.is_dir());
    directories.sort();
    directories.iter().map(|directory| read(directory)).collect()
}

/// What `stopover plan` would do with each migration of a directory in the pipeline's only database: ids and actions.
///
/// # Panics
/// When the answer has another form.
pub async fn planned(cli: &Cli, directory: &Path, pipeline: &str) -> Vec<(String, String)> {
    let directory = directory.to_string_lossy();
    let finished = cli.run(&["--json", "plan", &directory, "--pipeline", pipeline]).await;
    let answer = finished.json().pop().unwrap_or_else(|| panic!("no answer: {}", finished.stderr));
    let migrations = answer["stages"][0]["targets"][0]["plan"]["migrations"].as_array();
    let migrations = migrations.unwrap_or_else(|| panic!("no plan: {answer:#}"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    migrations.iter().map(|m| (text(&m["id"]), text(&m["action"]["action"]))).collect()
}

fn read(directory: &Path) -> Recorded {
    let text = |name| {
        let path = directory.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    Recorded {
        name: directory.file_name().expect("a name").to_string_lossy().into_owned(),
        migrations: directory.join("migrations"),
        history: text("history.sql"),
        refused: directory.join("refused.sql").exists().then(|| text("refused.sql")),
        applied: text("applied").lines().map(str::to_owned).collect(),
    }
}
