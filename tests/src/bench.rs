//! What the benchmarks share: what they are asked for, a cluster with room, what a process has used, and figures as they
//! are printed.
//!
//! Nothing here asserts: machines are shared and noisy, and what counts are the ratios of a pair.

use std::fmt;
use std::fs;
use std::str::FromStr;
use std::time::Duration;

use stopover_cluster::{Cluster, ClusterBuilder};

/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A number that the environment sets.
#[must_use]
pub fn number<T: FromStr>(variable: &str, otherwise: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A durable cluster for tables of a million rows: they fit into its memory, and no checkpoint comes on the way.
pub fn large_cluster() -> ClusterBuilder {
    Cluster::builder()
        .name("bench")
        .durable(true)
        .setting("max_wal_size", "8GB")
        .setting("shared_buffers", "1GB")
}

/// What several runs gave. It is shown as `median (least to most)`.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    /// None: there was no run.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_by(f64::total_cmp);
        let (least, most) = (*numbers.first()?, *numbers.last()?);
        Some(Self { least, median: numbers[numbers.len() / 2], most })
    }

    /// As it is shown, with so many decimals.
    #[must_use]
    pub fn text(numbers: impl IntoIterator<Item = f64>, decimals: usize) -> String {
        Self::of(numbers).map_or_else(|| "-".to_owned(), |spread| format!("{spread:.decimals$}"))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, median, most } = self;
        let decimals = f.precision().unwrap_or_default();
        write!(f, "{median:.decimals$} ({least:.decimals$} to {most:.decimals$})")
    }
}

/// None: nothing was measured.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let index = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(index).copied()
}

#[must_use]
pub fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64().max(1e-9)
}

#[must_use]
pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[expect(clippy::print_stdout, reason = "a benchmark's result")]
pub fn say(line: &str) {
    println!("{line}");
}

/// The processor time that a process has used so far, all of its threads together.
#[must_use]
pub fn processor(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name, in parentheses, may hold spaces.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u32 = fields.skip(11).take(2).filter_map(|n| n.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// The resident set of a process, in bytes.
#[must_use]
pub fn resident(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

/// The largest resident set so far, in whole MB (10^6 bytes).
#[must_use]
pub fn peak(pid: u32) -> u64 {
    memory(pid, "VmHWM:").div_ceil(1_000_000)
}

/// In bytes.
fn memory(pid: u32, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let kilobytes = status.lines().find_map(|line| line.strip_prefix(which)?.split_whitespace().next());
    kilobytes.and_then(|n| n.parse::<u64>().ok()).expect("what the kernel says of its memory") * 1024
}

/// Times as `median (least to most, n)`, each in the unit that suits it.
#[must_use]
pub fn spread_of(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("median {:.1?} ({least:.1?} to {most:.1?}, n = {})", sorted[sorted.len() / 2], sorted.len())
}
