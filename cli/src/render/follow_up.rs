//! What was looked at after a deployment, what came of it, and what is still to come.

use stopover_model::duration::human;
use stopover_model::follow_up::FollowUpRun;

use super::View;
use super::line::{Line, Tone};
use super::number::{clock, relative};
use crate::answer::{FollowUpAnswer, FollowUpWord};

/// One follow-up: how it stands, its runs, the newest last, and what can be done.
#[must_use]
pub fn lines(follow_up: &FollowUpAnswer, view: View) -> Vec<Line> {
    let key = &follow_up.key;
    let (tone, mark) = match follow_up.state {
        FollowUpWord::Waits => (Tone::Busy, "▸"),
        FollowUpWord::Failed => (Tone::Bad, "✗"),
        FollowUpWord::Through => (Tone::Good, "✓"),
        FollowUpWord::Cancelled => (Tone::Dim, "◂"),
    };
    let place = format!("  {} in {}/{}", key.migration, key.environment, key.database);
    let heading = Line::of(tone, mark).plain(" ").strong(&key.name).dim(place);
    let mut lines = heading.wrapped(view.width, 2);
    lines.extend(follow_up.runs.iter().flat_map(|r| run(r, view)));
    lines.extend(state(follow_up, view).into_iter().flat_map(|line| line.wrapped(view.width, 4)));
    lines
}

fn run(run: &FollowUpRun, view: View) -> Vec<Line> {
    let at = clock(run.at, view.now);
    let line = if run.passed {
        Line::of(Tone::Good, "  ✓ ").plain(format!("{at}  {}", run.observed))
    } else {
        let seen = format!("{at}  expected {}, found {}", run.expected, run.observed);
        Line::of(Tone::Bad, "  ✗ ").plain(seen)
    };
    let late = run.late().map(|late| match run.skipped {
        0 => format!("  ({} late)", human(late)),
        n => format!("  ({} late; {n} more that were missed are not made up for)", human(late)),
    });
    late.map_or(line.clone(), |text| line.with(Tone::Warn, text)).wrapped(view.width, 4)
}

fn state(follow_up: &FollowUpAnswer, view: View) -> Vec<Line> {
    let key = &follow_up.key;
    let mut lines = Vec::new();
    if let Some(word) = &follow_up.acknowledged {
        let text = format!("  acknowledged by {} at {}: {}", word.by, clock(word.at, view.now), word.reason);
        lines.push(Line::new().dim(text));
    }
    if let Some(held) = &follow_up.held {
        let text = format!("  it could not be asked since {}: {}", clock(held.since, view.now), held.why);
        lines.push(Line::of(Tone::Warn, text));
    }
    if let Some(due) = follow_up.due {
        let when = format!("  next at {} ({})", clock(due, view.now), relative(due, view.now));
        lines.push(Line::new().plain(when));
    }
    match follow_up.state {
        FollowUpWord::Failed => {
            lines.push(Line::new().plain("  the same migration goes to no other environment meanwhile"));
            let command = format!(
                "stopover acknowledge {} \"{}\" --reason \"WHY IT MAY GO ON\"",
                key.deployment, key.name
            );
            lines.push(Line::of(Tone::Busy, "  → ").plain(command));
        }
        FollowUpWord::Cancelled => lines.push(Line::new().dim("  the migration was rolled back there")),
        FollowUpWord::Waits | FollowUpWord::Through => {}
    }
    lines
}

#[cfg(test)]
mod tests {
    use stopover_model::follow_up::{FollowUpKey, Held};

    use super::super::line::text;
    use super::super::sample::{at, view};
    use super::*;

    fn follow_up(state: FollowUpWord, runs: Vec<FollowUpRun>) -> FollowUpAnswer {
        let key = FollowUpKey {
            deployment: "4k2m9x0c1d".parse().unwrap(),
            environment: "production".parse().unwrap(),
            database: "app".parse().unwrap(),
            migration: "001_add".parse().unwrap(),
            name: "the index is used".into(),
        };
        FollowUpAnswer { key, state, due: None, runs, held: None, acknowledged: None }
    }

    fn made(due: i64, second: i64, skipped: u32, passed: bool) -> FollowUpRun {
        let observed = if passed { "17" } else { "0" }.to_owned();
        FollowUpRun { due: at(due), at: at(second), skipped, passed, expected: "at least 1".into(), observed }
    }

    #[test]
    fn a_failure_says_what_was_seen_what_it_stands_in_the_way_of_and_what_to_type() {
        let runs = vec![made(0, 2, 0, true), made(10, 50, 3, false)];
        let failed = FollowUpAnswer { due: Some(at(160)), ..follow_up(FollowUpWord::Failed, runs) };
        let shown = text(&lines(&failed, view()));
        for expected in [
            "✗ the index is used  001_add in production/app",
            "expected at least 1, found 0",
            "(40 s late; 3 more that were",
            "the same migration goes to no other environment meanwhile",
            "stopover acknowledge 4k2m9x0c1d \"the index is used\" --reason",
        ] {
            assert!(shown.contains(expected), "{expected}:\n{shown}");
        }
    }

    #[test]
    fn one_that_could_not_be_asked_says_why_and_since_when() {
        let held = Some(Held { since: at(0), why: "the agent prod-1 is away".into() });
        let waits = FollowUpAnswer { held, due: Some(at(0)), ..follow_up(FollowUpWord::Waits, Vec::new()) };
        let shown = text(&lines(&waits, view()));
        assert!(shown.contains("it could not be asked since") && shown.contains("prod-1 is away"), "{shown}");
    }
}
