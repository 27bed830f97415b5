//! The tools beside one another, as it is printed.

use std::time::Duration;

use stopover_tests::bench::{Spread, ms, ratio, say};

pub(crate) const SELECT_ONE: &str = "psql -c 'select 1'";

/// What one tool took, pair by pair.
pub(crate) struct Row {
    name: &'static str,
    /// All migrations on an empty database.
    pub(crate) fresh: Vec<Duration>,
    /// Once more, with nothing left to do.
    pub(crate) again: Vec<Duration>,
}

impl Row {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, fresh: Vec::new(), again: Vec::new() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

pub(crate) fn table(rows: &[Row]) {
    say(&format!("{:<20} {:>24} {:>24}", "", "fresh database", "nothing to do"));
    for row in rows {
        say(&format!("{:<20} {:>24} {:>24}", row.name, spread(&row.fresh), spread(&row.again)));
    }
}

/// Ours against each of the others, and against the yardstick of a run without work.
pub(crate) fn ratios(rows: &[Row], plans: &[Duration]) {
    let Some((ours, others)) = rows.split_first() else { return };
    for other in others.iter().filter(|other| !other.fresh.is_empty()) {
        say(&format!("fresh / {}: {}", other.name, ratios_of(&ours.fresh, &other.fresh)));
    }
    let tools: Vec<&Row> = others.iter().filter(|o| !o.fresh.is_empty() && !o.again.is_empty()).collect();
    let fastest: Vec<Duration> =
        (0..ours.fresh.len()).filter_map(|pair| tools.iter().map(|t| t.fresh[pair]).min()).collect();
    if !fastest.is_empty() {
        say(&format!(
            "fresh / the fastest other tool: {}   (goal: at most 1.0)",
            ratios_of(&ours.fresh, &fastest)
        ));
    }
    if let Some(select) = others.iter().find(|other| other.name == SELECT_ONE) {
        let goal = "(goal: at most 3)";
        say(&format!(
            "deploy with nothing to do / {SELECT_ONE}: {}   {goal}",
            ratios_of(&ours.again, &select.again)
        ));
        say(&format!("plan with nothing to do / {SELECT_ONE}: {}   {goal}", ratios_of(plans, &select.again)));
        for tool in tools {
            say(&format!(
                "{} with nothing to do / {SELECT_ONE}: {}",
                tool.name,
                ratios_of(&tool.again, &select.again)
            ));
        }
    }
}

fn spread(times: &[Duration]) -> String {
    let spread = Spread::of(times.iter().copied().map(ms));
    spread.map_or_else(
        || "-".to_owned(),
        |Spread { least, median, most }| format!("{median:.0} ms ({least:.0} to {most:.0})"),
    )
}

fn ratios_of(ours: &[Duration], theirs: &[Duration]) -> String {
    let ratios = Spread::of(ours.iter().zip(theirs).map(|(a, b)| ratio(*a, *b)));
    ratios.map_or_else(|| "-".to_owned(), |ratios| format!("median {ratios:.2}"))
}
