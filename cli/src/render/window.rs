//! A stage's windows and freezes: what they are, and when it opens next.

use jiff::Timestamp;
use stopover_model::pipeline::StageSpec;
use stopover_model::window::{AtEnd, Calendar, Opening, Window};

use super::number::exact;

/// Each with a label; as many of the next openings as asked for. Nothing where the stage is always open.
#[must_use]
pub fn lines(spec: &StageSpec, openings: usize, now: Timestamp) -> Vec<(&'static str, String)> {
    let calendar = &spec.calendar;
    let mut lines: Vec<_> = calendar.windows.iter().map(|window| ("window", words(window))).collect();
    if calendar.is_empty() {
        return lines;
    }
    let mut next = calendar.openings(now).take(openings).peekable();
    if next.peek().is_none() {
        lines.push(("opens", "not within the next two years".to_owned()));
    }
    lines.extend(
        next.enumerate().map(|(n, o)| (if n == 0 { "opens" } else { "" }, opening(calendar, o, now))),
    );
    let ahead = calendar.freezes.iter().filter(|freeze| freeze.until > now);
    lines.extend(ahead.map(|freeze| {
        let (from, until) = (calendar.show(freeze.from), calendar.show(freeze.until));
        ("frozen", format!("{}: from {from} to {until}", freeze.text))
    }));
    lines
}

fn words(window: &Window) -> String {
    let end = match window.at_end {
        AtEnd::Pause => "then backfills pause to the next one",
        AtEnd::GoOn => "then backfills go on",
    };
    format!("{} for {} in {}; {end}", window.cron, exact(window.length), window.timezone)
}

fn opening(calendar: &Calendar, opening: Opening, now: Timestamp) -> String {
    let from = if opening.from <= now { "now".to_owned() } else { calendar.show(opening.from) };
    match (opening.until, opening.left()) {
        (Some(until), _) if opening.from <= now => format!("{from}, until {}", calendar.show(until)),
        (_, Some(left)) => format!("{from}, for {}", exact(left)),
        (_, None) => from,
    }
}

#[cfg(test)]
mod tests {
    use stopover_model::pipeline::Pipeline;

    use super::*;

    fn shown(keys: &str, now: &str) -> String {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"production\"\n{keys}\n");
        let pipeline = Pipeline::parse("pipeline.toml", &text).unwrap();
        let lines = lines(&pipeline.stages[0], 3, now.parse().unwrap());
        let lines: Vec<_> = lines.into_iter().map(|(label, text)| format!("{label:8}{text}\n")).collect();
        lines.concat()
    }

    #[test]
    fn the_next_openings_are_shown_where_they_are_and_in_utc() {
        let keys = "window = { cron = \"0 2 * * 1-5\", for = \"30m\", timezone = \"Europe/Paris\" }\n\
            freeze = [\"2026-01-01/2026-01-31\", \"2026-12-20/2027-01-04\"]";
        insta::assert_snapshot!(shown(keys, "2026-11-27T01:10:00Z"), @r"
        window  0 2 * * 1-5 for 30m in Europe/Paris; then backfills pause to the next one
        opens   now, until Fri 2026-11-27 02:30 Europe/Paris (01:30 UTC)
                Mon 2026-11-30 02:00 Europe/Paris (01:00 UTC), for 30m
                Tue 2026-12-01 02:00 Europe/Paris (01:00 UTC), for 30m
        frozen  2026-12-20/2027-01-04: from Sun 2026-12-20 00:00 Europe/Paris (Sat 23:00 UTC) to Tue 2027-01-05 00:00 Europe/Paris (Mon 23:00 UTC)
        ");
        assert_eq!(shown("", "2026-11-27T01:10:00Z"), "");
    }
}
