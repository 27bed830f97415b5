//! What other tools wrote into databases, as it lies in tests/histories.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::{Cli, Finished};

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

/// `stopover adopt`, and what it says of the one database.
///
/// # Panics
/// When the answer has another form.
pub async fn adopt(cli: &Cli, environment: &str, database: &str, directory: &Path) -> (Finished, Value) {
    let directory = directory.to_string_lossy();
    let command = ["--json", "adopt", environment, &directory, "--database", database, "--yes"];
    let finished = cli.run(&command).await;
    let answer = finished.json().pop().unwrap_or_else(|| panic!("no answer: {}", finished.stderr));
    let database = answer["databases"][0].clone();
    (finished, database)
}

/// Adopts a history, and asserts that exactly these migrations were taken over and that only the others are still due.
/// Gives what the first `stopover adopt` said.
///
/// # Panics
/// When something else was.
pub async fn assert_taken_over(
    cli: &Cli,
    database: &str,
    pipeline: &str,
    directory: &Path,
    applied: &[String],
) -> Value {
    let (finished, answer) = adopt(cli, "staging", database, directory).await;
    assert_eq!(finished.code, 0, "{answer:#}\n{}", finished.stderr);
    let marks = answer["marks"].as_array().unwrap_or_else(|| panic!("no marks: {answer:#}"));
    let marked: BTreeSet<_> = marks.iter().filter_map(|m| m["migration"].as_str()).collect();
    assert_eq!(marked, applied.iter().map(String::as_str).collect(), "{answer:#}");
    assert!(answer["recorded"].is_object(), "{answer:#}");
    let (skipped, due): (Vec<_>, Vec<_>) =
        planned(cli, directory, pipeline).await.into_iter().partition(|(_, action)| action == "skip");
    assert_eq!(skipped.into_iter().map(|(id, _)| id).collect::<Vec<_>>(), applied);
    assert!(due.iter().all(|(_, action)| action == "apply") && !due.is_empty(), "{due:?}");
    let (again, left) = adopt(cli, "staging", database, directory).await;
    assert_eq!((again.code, left["recorded"].is_null()), (0, true), "nothing is left to write: {left:#}");
    answer
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
