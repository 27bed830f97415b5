//! Medians and ratios, as they are printed.

use std::time::Duration;

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
        say(&format!("fresh / {}: {}", other.name, ratio(&ours.fresh, &other.fresh)));
    }
    let tools: Vec<&Row> = others.iter().filter(|o| !o.fresh.is_empty() && !o.again.is_empty()).collect();
    let fastest: Vec<Duration> =
        (0..ours.fresh.len()).filter_map(|pair| tools.iter().map(|t| t.fresh[pair]).min()).collect();
    if !fastest.is_empty() {
        say(&format!(
            "fresh / the fastest other tool: {}   (goal: at most 1.0)",
            ratio(&ours.fresh, &fastest)
        ));
    }
    if let Some(select) = others.iter().find(|other| other.name == SELECT_ONE) {
        let goal = "(goal: at most 3)";
        say(&format!(
            "deploy with nothing to do / {SELECT_ONE}: {}   {goal}",
            ratio(&ours.again, &select.again)
        ));
        say(&format!("plan with nothing to do / {SELECT_ONE}: {}   {goal}", ratio(plans, &select.again)));
        for tool in tools {
            say(&format!(
                "{} with nothing to do / {SELECT_ONE}: {}",
                tool.name,
                ratio(&tool.again, &select.again)
            ));
        }
    }
}

#[expect(clippy::print_stdout, reason = "a benchmark's result")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

fn spread(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let ms = |d: &Duration| d.as_secs_f64() * 1_000.0;
    match (sorted.first(), sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(least), Some(median), Some(most)) => {
            format!("{:.0} ms ({:.0} to {:.0})", ms(median), ms(least), ms(most))
        }
        _ => "-".to_owned(),
    }
}

fn ratio(ours: &[Duration], theirs: &[Duration]) -> String {
    let mut ratios: Vec<f64> =
        ours.iter().zip(theirs).map(|(a, b)| a.as_secs_f64() / b.as_secs_f64().max(1e-9)).collect();
    ratios.sort_by(f64::total_cmp);
    match (ratios.first(), ratios.get(ratios.len() / 2), ratios.last()) {
        (Some(least), Some(median), Some(most)) => format!("median {median:.2} ({least:.2} to {most:.2})"),
        _ => "-".to_owned(),
    }
}
