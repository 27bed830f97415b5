//! The project that each tool is given: a directory, a database, and the commands run in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use stopover_cluster::TestDatabase;
use tempfile::TempDir;

/// Where `tests/real-tools` has put the tools: their commands are in its `bin`.
const TOOLS: &str = "STOPOVER_REAL_TOOLS";

pub(crate) struct Shop {
    directory: TempDir,
    url: String,
    tools: PathBuf,
}

/// What is to be changed, in no tool's words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) name: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
    /// It can't run in a transaction.
    pub(crate) alone: bool,
}

impl Shop {
    pub(crate) fn new(database: &TestDatabase) -> Self {
        let tools =
            std::env::var_os(TOOLS).unwrap_or_else(|| panic!("{TOOLS} is not set; run tests/real-tools"));
        let directory = tempfile::Builder::new().prefix("stopover-shop-").tempdir().expect("a directory");
        Self { directory, url: database.url().to_owned(), tools: PathBuf::from(tools) }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `postgres://USER:PASSWORD@127.0.0.1:PORT/NAME`
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same project with another database.
    pub(crate) fn copy(&self, database: &TestDatabase) -> Self {
        let copy = Self::new(database);
        copy_directory(self.directory(), copy.directory());
        copy
    }

    /// Runs one of the tool's commands, which has to do well; gives what it printed.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let output = self.output(command, &[]);
        assert!(output.status.success(), "{command:?}: {output:#?}");
        String::from_utf8(output.stdout).expect("tools print UTF-8")
    }

    /// Runs one of the tool's commands to its end, whatever that is.
    pub(crate) fn output(&self, command: &[&str], environment: &[(&str, &str)]) -> Output {
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new(command[0])
            .args(&command[1..])
            .current_dir(self.directory())
            .env("PATH", format!("{}:{path}", self.tools.join("bin").display()))
            .env("HOME", self.directory())
            .env("DATABASE_URL", format!("{}?sslmode=disable", self.url))
            .envs(environment.iter().copied())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", command[0]))
    }

    pub(crate) fn read(&self, path: &str) -> String {
        let path = self.directory().join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.directory().join(path);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("a directory");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Runs a generator whose versions are the time in seconds: never twice in one.
    pub(crate) fn generate(&self, command: &[&str]) -> Vec<String> {
        let printed = self.run(command);
        let used = second();
        while second() == used {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        created(&printed)
    }

    /// The database's schema as `pg_dump` writes it, without what is Stopover's.
    pub(crate) fn schema(&self) -> String {
        self.dump(&["--schema-only", "--exclude-schema=stopover"])
    }

    /// `pg_dump` of the project's database, without the lines that differ each time.
    pub(crate) fn dump(&self, options: &[&str]) -> String {
        let command = [&["pg_dump", "--no-owner", "--dbname", &self.url], options].concat();
        let text = self.run(&command);
        text.lines().filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict")).fold(
            String::new(),
            |mut text, line| {
                text.push_str(line);
                text.push('\n');
                text
            },
        )
    }

    /// Every file below a directory, by its path in there.
    pub(crate) fn files(&self, directory: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let root = self.directory().join(directory);
        collect(&root, &root, &mut files);
        files
    }
}

/// The files that a generator says it has made.
fn created(printed: &str) -> Vec<String> {
    let words = printed.split_whitespace().map(|word| word.trim_matches('"'));
    words.filter(|word| Path::new(word).extension().is_some_and(|e| e == "sql")).map(str::to_owned).collect()
}

fn second() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

fn collect(root: &Path, directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(directory).expect("a directory can be listed") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).expect("it lies below").to_owned();
            files.insert(name, fs::read(&path).expect("a file can be read"));
        }
    }
}

pub(crate) fn copy_directory(from: &Path, to: &Path) {
    let mut files = BTreeMap::new();
    collect(from, from, &mut files);
    for (name, content) in files {
        let path = to.join(name);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("a directory");
        fs::write(path, content).expect("a file can be written");
    }
}
