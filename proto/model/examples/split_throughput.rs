//! How fast a file is split: MB/s over 100 MB of each of several kinds of SQL, the median of five runs. The goal is
//! 100 MB/s.
//!
//! `tests/bench split`, or `cargo run --release -p stopover-model --example split_throughput`

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use stopover_model::sql::split;

const SIZE: usize = 100_000_000;

/// Writes the piece of SQL with this number.
type Writer = fn(usize, &mut String);

fn main() -> std::io::Result<()> {
    let kinds: [(&str, Writer); 4] = [
        ("mixed DDL and DML", mixed),
        ("INSERT rows", insert),
        ("function bodies", body),
        ("COPY data", copy),
    ];
    let mut out = std::io::stdout().lock();
    for (name, write) in kinds {
        let mut file = String::with_capacity(SIZE + 10_000);
        for index in 0.. {
            if file.len() >= SIZE {
                break;
            }
            write(index, &mut file);
        }
        let (statements, times) = five_times(&file);
        let bytes = f64::from(u32::try_from(file.len()).unwrap_or(u32::MAX));
        let [most, median, least] =
            [times[0], times[times.len() / 2], times[times.len() - 1]].map(|t| bytes / 1e6 / t.as_secs_f64());
        writeln!(out, "{name:<20} {statements:>9} statements {median:>7.0} MB/s ({least:.0} to {most:.0})")?;
    }
    Ok(())
}

/// The statements, and what it took, the shortest time first.
fn five_times(file: &str) -> (usize, Vec<Duration>) {
    let mut statements = 0;
    let mut times = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        statements = split(file).map_or(0, |found| found.len());
        times.push(start.elapsed());
    }
    times.sort_unstable();
    (statements, times)
}

fn mixed(index: usize, file: &mut String) {
    let _ = write!(
        file,
        "-- change {index}\nALTER TABLE app.users ADD COLUMN IF NOT EXISTS flag_{index} boolean NOT NULL DEFAULT false;\n\
         /* an index for it */ CREATE INDEX CONCURRENTLY IF NOT EXISTS users_flag_{index}_idx ON app.users (flag_{index}) WHERE flag_{index};\n\
         UPDATE app.users SET name = 'it''s; {index}', note = E'tab\\t\\'q\\'' WHERE id = {index} AND (a > 1.5e3 OR b::text = $$x;y$$);\n\n"
    );
}

fn insert(index: usize, file: &mut String) {
    let _ = writeln!(
        file,
        "INSERT INTO users (id, email, name, created_at) VALUES ({index}, 'user{index}@example.com', 'Żółć {index}', '2024-01-16 12:30:05+00');"
    );
}

fn body(index: usize, file: &mut String) {
    let _ = write!(
        file,
        "CREATE OR REPLACE FUNCTION f_{index}(n int) RETURNS int LANGUAGE plpgsql AS $body$\nDECLARE total int := 0;\nBEGIN\n"
    );
    for line in 0..30 {
        let _ = writeln!(
            file,
            "  IF n > {line} THEN total := total + n; RAISE NOTICE 'at % of {line}', $q$n;$q$; END IF;"
        );
    }
    file.push_str("  RETURN total;\nEND $body$;\n");
}

fn copy(index: usize, file: &mut String) {
    if index.is_multiple_of(100_000) {
        let end = if index == 0 { "" } else { "\\.\n" };
        let _ = writeln!(file, "{end}COPY users (id, email, name) FROM stdin;");
    }
    let _ = writeln!(file, "{index}\tuser{index}@example.com\tName {index}");
}
