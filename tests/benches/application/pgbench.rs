//! pgbench at a steady rate on the table: an application. What a transaction took counts from when it was due, so that
//! whoever is kept waiting has its next ones pile up, as an application's users do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const RATE: u32 = 400;
const CLIENTS: u32 = 16;

/// A person signs in: read by the key, and written.
const SCRIPT: &str = "\\set id random(1, :rows)\n\
    BEGIN;\n\
    SELECT email, name, plan, locale FROM users WHERE id = :id;\n\
    UPDATE users SET last_login_at = now() WHERE id = :id;\n\
    COMMIT;\n";

pub(crate) struct Pgbench {
    child: Child,
    directory: PathBuf,
}

/// One transaction of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transaction {
    due: SystemTime,
    pub(crate) took: Duration,
}

impl Pgbench {
    pub(crate) fn start(directory: &Path, url: &str, rows: u64) -> Self {
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory).expect("a directory for pgbench's logs");
        fs::write(directory.join("script.sql"), SCRIPT).expect("pgbench's script");
        let mut pgbench = Command::new("pgbench");
        pgbench.args(["--no-vacuum", "--protocol=prepared", "--log", "--time=3600", "--file=script.sql"]);
        pgbench.args([&format!("--rate={RATE}"), &format!("--client={CLIENTS}"), "--jobs=1"]);
        pgbench.arg(format!("--define=rows={rows}")).arg(url).current_dir(directory);
        pgbench.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: pgbench.spawn().expect("pgbench can be started"), directory: directory.to_owned() }
    }

    /// Ends it, and gives its transactions. The last of them, those of a fraction of a second, are not in its log yet.
    pub(crate) fn end(mut self) -> Vec<Transaction> {
        self.child.kill().expect("pgbench can be ended");
        self.child.wait().expect("pgbench's end");
        let logs = fs::read_dir(&self.directory).expect("pgbench's logs").filter_map(Result::ok);
        let mut all = Vec::new();
        for log in logs.filter(|file| file.file_name().to_string_lossy().starts_with("pgbench_log")) {
            let text = fs::read_to_string(log.path()).expect("a log of pgbench");
            all.extend(text.lines().filter_map(transaction));
        }
        all
    }
}

/// `client transaction microseconds script seconds-of-its-end microseconds-of-its-end lag`
fn transaction(line: &str) -> Option<Transaction> {
    let fields: Vec<u64> = line.split(' ').map_while(|field| field.parse().ok()).collect();
    let [_, _, took, _, seconds, micros, ..] = fields[..] else { return None };
    let took = Duration::from_micros(took);
    let end = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_micros(micros);
    Some(Transaction { due: end - took, took })
}

/// What those took that were due between two times.
pub(crate) fn between(all: &[Transaction], from: SystemTime, to: SystemTime) -> Vec<Duration> {
    let mut took: Vec<_> = all.iter().filter(|t| t.due >= from && t.due < to).map(|t| t.took).collect();
    took.sort_unstable();
    took
}
