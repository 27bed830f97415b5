//! Figures of a process, and how they are printed beside their goals.

use std::fs;
use std::time::Duration;

use stopover_tests::bench::say;
use stopover_tests::{Process, Stack};

/// The kernel counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

pub(crate) fn server(stack: &Stack) -> &Process {
    stack.server.as_ref().expect("the server runs")
}

/// Resident, in bytes.
pub(crate) fn resident(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("the process runs");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("a resident set");
    let kilobytes: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number");
    kilobytes * 1024
}

/// What it has used of the processors so far.
pub(crate) fn processor(process: &Process) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).expect("the process runs");
    // The name, in parentheses, may hold spaces.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    let ticks: u32 = fields.skip(11).take(2).filter_map(|n| n.parse::<u32>().ok()).sum();
    TICK * ticks
}

pub(crate) fn row(what: &str, value: &str, goal: &str) {
    let goal = if goal.is_empty() { String::new() } else { format!("   (goal: {goal})") };
    say(&format!("{what:<62} {value:>20}{goal}"));
}
