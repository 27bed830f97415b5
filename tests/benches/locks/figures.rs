//! Percentiles, medians and ratios, as they are printed.

use std::time::Duration;

use crate::load::Latencies;

pub(crate) struct Run {
    /// The load by itself.
    pub(crate) quiet: Latencies,
    /// From the DDL's first wait to its effect.
    pub(crate) behind: Latencies,
    /// After the reader's end.
    pub(crate) landed: Duration,
}

/// One number of a run, in milliseconds.
type Figure = fn(&Run) -> f64;

impl Run {
    fn quiet_p99(&self) -> f64 {
        percentile(&self.quiet, 99)
    }

    fn p50(&self) -> f64 {
        percentile(&self.behind, 50)
    }

    fn p99(&self) -> f64 {
        percentile(&self.behind, 99)
    }

    fn longest(&self) -> f64 {
        ms(self.behind.longest)
    }

    fn landed(&self) -> f64 {
        ms(self.landed)
    }
}

pub(crate) fn report(theirs: &[Run], ours: &[Run]) {
    say("Behind a reader of 3 s, from the DDL's first wait to its effect; in ms, medians (from to):");
    say(&format!("{:<36} {:>24} {:>26}", "", "psql alone", "stopover deploy"));
    let rows: [(&str, Figure); 5] = [
        ("quiet, the same load: request p99", Run::quiet_p99),
        ("request p50", Run::p50),
        ("request p99 (goal: 100)", Run::p99),
        ("longest statement (goal: 200)", Run::longest),
        ("landed after the reader (goal: 500)", Run::landed),
    ];
    for (name, of) in rows {
        say(&format!("{name:<36} {:>24} {:>26}", spread(theirs, of), spread(ours, of)));
    }
    for (name, of) in [("request p99", Run::p99 as Figure), ("longest statement", Run::longest)] {
        let mut ratios: Vec<f64> = theirs.iter().zip(ours).map(|(t, o)| of(o) / of(t).max(1e-6)).collect();
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ratios.len() - 1]);
        let median = ratios[ratios.len() / 2];
        say(&format!("{name}, ours / psql, pair by pair: median {median:.3} ({least:.3} to {most:.3})"));
    }
}

fn percentile(latencies: &Latencies, percent: usize) -> f64 {
    let mut sorted = latencies.requests.clone();
    sorted.sort_unstable();
    let index = (sorted.len() * percent).div_ceil(100).clamp(1, sorted.len().max(1)) - 1;
    sorted.get(index).map_or(f64::NAN, |d| ms(*d))
}

fn spread(runs: &[Run], of: Figure) -> String {
    let mut sorted: Vec<f64> = runs.iter().map(of).collect();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (sorted[0], sorted[sorted.len() - 1]);
    format!("{:.1} ({least:.1} to {most:.1})", sorted[sorted.len() / 2])
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[expect(clippy::print_stdout, reason = "a benchmark's result")]
fn say(line: &str) {
    println!("{line}");
}
