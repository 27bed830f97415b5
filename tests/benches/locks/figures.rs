//! What the runs are compared by, as it is printed.

use std::time::Duration;

use stopover_tests::bench::{Spread, ms, percentile, say};

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
        percentile_ms(&self.quiet, 99)
    }

    fn p50(&self) -> f64 {
        percentile_ms(&self.behind, 50)
    }

    fn p99(&self) -> f64 {
        percentile_ms(&self.behind, 99)
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
        let spread = |runs: &[Run]| Spread::text(runs.iter().map(of), 1);
        say(&format!("{name:<36} {:>24} {:>26}", spread(theirs), spread(ours)));
    }
    for (name, of) in [("request p99", Run::p99 as Figure), ("longest statement", Run::longest)] {
        let ratios = theirs.iter().zip(ours).map(|(t, o)| of(o) / of(t).max(1e-6));
        say(&format!("{name}, ours / psql, pair by pair: median {}", Spread::text(ratios, 3)));
    }
}

fn percentile_ms(latencies: &Latencies, percent: usize) -> f64 {
    let mut sorted = latencies.requests.clone();
    sorted.sort_unstable();
    percentile(&sorted, percent).map_or(f64::NAN, ms)
}
