//! What the runs are compared by, as it is printed.

use std::time::Duration;

use stopover_tests::bench::{Spread, ms, percentile, ratio, say};

/// What an application felt of a change, and what the change took.
pub(crate) struct Run {
    /// Of the same load a moment before, sorted.
    pub(crate) quiet: Vec<Duration>,
    /// While the change ran, sorted.
    pub(crate) during: Vec<Duration>,
    pub(crate) took: Duration,
}

impl Run {
    fn quiet(&self, percent: usize) -> Duration {
        percentile(&self.quiet, percent).unwrap_or_default()
    }

    fn during(&self, percent: usize) -> Duration {
        percentile(&self.during, percent).unwrap_or_default()
    }
}

/// One number of a run.
type Figure = fn(&Run) -> f64;

/// Prints each way's figures, and its ratios to the first one.
pub(crate) fn report(ways: &[(&str, Vec<Run>)]) {
    let figures: [(&str, Figure); 7] = [
        ("quiet p99, ms", |run| ms(run.quiet(99))),
        ("p50, ms", |run| ms(run.during(50))),
        ("p99, ms", |run| ms(run.during(99))),
        ("longest, ms", |run| ms(run.during(100))),
        ("p99 / quiet p99", |run| ratio(run.during(99), run.quiet(99))),
        ("transactions", |run| count(&run.during)),
        ("the change itself, s", |run| run.took.as_secs_f64()),
    ];
    for (way, runs) in ways {
        say(&format!("{way}, {} runs: median (from to)", runs.len()));
        for (name, of) in figures {
            say(&format!("  {name:<22} {}", Spread::text(runs.iter().map(of), 3)));
        }
    }
    let Some(((first, theirs), others)) = ways.split_first() else { return };
    let ratios: [(&str, Figure); 3] = [
        ("p99", |run| ms(run.during(99))),
        ("longest", |run| ms(run.during(100))),
        ("time", |run| run.took.as_secs_f64()),
    ];
    for (way, ours) in others {
        for (name, of) in ratios {
            let pairs = ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs).max(1e-9));
            say(&format!("{way} / {first}, {name}: {}", Spread::text(pairs, 3)));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown as a whole number")]
fn count(transactions: &[Duration]) -> f64 {
    transactions.len() as f64
}
