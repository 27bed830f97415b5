//! Percentiles, medians and ratios, as they are printed.

use std::time::Duration;

/// What an application felt of a change, and what the change took.
pub(crate) struct Run {
    /// Of the same load a moment before, sorted.
    pub(crate) quiet: Vec<Duration>,
    /// While the change ran, sorted.
    pub(crate) during: Vec<Duration>,
    pub(crate) took: Duration,
}

/// One number of a run.
type Figure = fn(&Run) -> f64;

/// Prints each way's figures, and its ratios to the first one.
pub(crate) fn report(ways: &[(&str, Vec<Run>)]) {
    let figures: [(&str, Figure); 7] = [
        ("quiet p99, ms", |run| ms(percentile(&run.quiet, 99))),
        ("p50, ms", |run| ms(percentile(&run.during, 50))),
        ("p99, ms", |run| ms(percentile(&run.during, 99))),
        ("longest, ms", |run| ms(percentile(&run.during, 100))),
        ("p99 / quiet p99", |run| ratio(percentile(&run.during, 99), percentile(&run.quiet, 99))),
        ("transactions", |run| count(&run.during)),
        ("the change itself, s", |run| run.took.as_secs_f64()),
    ];
    for (way, runs) in ways {
        say(&format!("{way}, {} runs: median (from to)", runs.len()));
        for (name, of) in figures {
            say(&format!("  {name:<22} {}", spread(runs.iter().map(of).collect())));
        }
    }
    let Some(((first, theirs), others)) = ways.split_first() else { return };
    let ratios: [(&str, Figure); 3] = [
        ("p99", |run| ms(percentile(&run.during, 99))),
        ("longest", |run| ms(percentile(&run.during, 100))),
        ("time", |run| run.took.as_secs_f64()),
    ];
    for (way, ours) in others {
        for (name, of) in ratios {
            let pairs = ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs).max(1e-9));
            say(&format!("{way} / {first}, {name}: {}", spread(pairs.collect())));
        }
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(index).copied().unwrap_or_default()
}

fn ratio(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64().max(1e-9)
}

#[expect(clippy::cast_precision_loss, reason = "shown as a whole number")]
fn count(transactions: &[Duration]) -> f64 {
    transactions.len() as f64
}

fn spread(mut numbers: Vec<f64>) -> String {
    numbers.sort_by(f64::total_cmp);
    match numbers[..] {
        [] => "none".to_owned(),
        [first, .., last] => format!("{:.3} ({first:.3} to {last:.3})", numbers[numbers.len() / 2]),
        [one] => format!("{one:.3}"),
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[expect(clippy::print_stdout, reason = "a benchmark's result")]
fn say(line: &str) {
    println!("{line}");
}
