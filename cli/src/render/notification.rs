//! What people were told, or are to be.

use stopover_model::duration::human;
use stopover_model::notice::NotificationState;

use super::View;
use super::line::{Line, Tone};
use super::number::relative;
use crate::answer::{NotificationRow, Trial};

/// Newest first, as they come.
#[must_use]
pub fn list(rows: &[NotificationRow], failed: bool, view: View) -> Vec<Line> {
    if rows.is_empty() {
        let text = if failed { "nothing was given up" } else { "nobody was told anything yet" };
        return vec![Line::new().plain(text)];
    }
    rows.iter().flat_map(|row| of_row(row, view)).collect()
}

/// Each with what came of it.
#[must_use]
pub fn trials(trials: &[Trial], view: View) -> Vec<Line> {
    let of_trial = |trial: &Trial| match &trial.error {
        None => {
            let line = Line::of(Tone::Good, "✓ ").strong(&trial.target);
            line.plain(format!("  took it in {}", human(trial.took))).wrapped(view.width, 2)
        }
        Some(error) => {
            Line::of(Tone::Bad, "✗ ").strong(&trial.target).plain(format!("  {error}")).wrapped(view.width, 2)
        }
    };
    trials.iter().flat_map(of_trial).collect()
}

fn of_row(row: &NotificationRow, view: View) -> Vec<Line> {
    let (tone, sign, word) = match row.state {
        NotificationState::Delivered => (Tone::Good, "✓ ", "told"),
        NotificationState::Waiting if row.tries == 0 => (Tone::Busy, "· ", "to be told"),
        NotificationState::Waiting => (Tone::Warn, "! ", "not told yet"),
        NotificationState::GivenUp => (Tone::Bad, "✗ ", "given up"),
    };
    let at = row.settled_at.unwrap_or(row.created_at);
    let line = Line::of(tone, sign).strong(&row.target).plain(format!("  {word}"));
    let line = line.dim(format!("  {}", relative(at, view.now)));
    let mut lines = line.wrapped(view.width, 2);
    lines.extend(Line::new().indented(2).plain(&row.subject).wrapped(view.width, 4));
    if let Some(error) = row.error.as_ref().filter(|_| row.state != NotificationState::Delivered) {
        let tries = if row.tries == 1 { "1 try".to_owned() } else { format!("{} tries", row.tries) };
        let text = format!("{tries}: {error}");
        lines.extend(Line::new().indented(2).dim(text).wrapped(view.width, 4));
    }
    lines
}

#[cfg(test)]
mod tests {
    use stopover_model::pipeline::NoticeKind;

    use super::super::line::text;
    use super::super::sample::{at, view};
    use super::*;

    #[test]
    fn each_says_how_far_it_got() {
        let row = |state, tries: u32, error: Option<&str>| NotificationRow {
            number: 1,
            target: "slack team".into(),
            pipeline: "users-db".parse().unwrap(),
            deployment: Some("4k2m9x0c1d".parse().unwrap()),
            kind: NoticeKind::Failed,
            subject: "[stopover] users-db: staging has stopped".into(),
            state,
            tries,
            error: error.map(str::to_owned),
            created_at: at(40),
            settled_at: None,
        };
        let rows = [
            row(NotificationState::Waiting, 0, None),
            row(NotificationState::Waiting, 2, Some("could not reach it: connection refused")),
            row(NotificationState::Delivered, 1, Some("it answered 500")),
            row(NotificationState::GivenUp, 1, Some("it answered 400")),
        ];
        insta::assert_snapshot!(text(&list(&rows, false, view())), @r"
        · slack team  to be told  1m 00s ago
          [stopover] users-db: staging has stopped
        ! slack team  not told yet  1m 00s ago
          [stopover] users-db: staging has stopped
          2 tries: could not reach it: connection refused
        ✓ slack team  told  1m 00s ago
          [stopover] users-db: staging has stopped
        ✗ slack team  given up  1m 00s ago
          [stopover] users-db: staging has stopped
          1 try: it answered 400
        ");
        assert_eq!(text(&list(&[], true, view())), "nothing was given up\n");
        let trial = |error: Option<&str>| Trial {
            target: "https://h/x".into(),
            error: error.map(str::to_owned),
            took: std::time::Duration::from_millis(12),
        };
        insta::assert_snapshot!(text(&trials(&[trial(None), trial(Some("it answered 404"))], view())), @r"
        ✓ https://h/x  took it in 12 ms
        ✗ https://h/x  it answered 404
        ");
    }
}
