//! A bar with what is done, how fast, and how long it will still take.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use stopover_model::report::{Progress, ProgressUnit};

use crate::render::View;
use crate::render::line::{Line, Tone};
use crate::render::number::{amount, rate, ticking};

/// The rate is that of the last seconds: what a backfill did an hour ago says little about now.
const WINDOW: SignedDuration = SignedDuration::from_secs(15);
const SHORTEST_BAR: usize = 6;
const LONGEST_BAR: usize = 30;

/// Measures how fast something advances.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Meter {
    samples: VecDeque<(Timestamp, u64)>,
}

impl Meter {
    pub(super) fn add(&mut self, at: Timestamp, done: u64) {
        // Something else is counted now.
        if self.samples.back().is_some_and(|(_, last)| done < *last) {
            self.samples.clear();
        }
        self.samples.push_back((at, done));
        // Two samples stay, however old: a slow step has a rate too.
        while self.samples.len() > 2
            && self.samples.front().is_some_and(|(first, _)| at.duration_since(*first) > WINDOW)
        {
            self.samples.pop_front();
        }
    }

    /// Per second; None until there is something to compare.
    pub(super) fn rate(&self) -> Option<f64> {
        let ((from, first), (to, last)) = (self.samples.front()?, self.samples.back()?);
        let seconds = to.duration_since(*from).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let done = (last - first) as f64;
        (seconds >= 0.2 && done > 0.0).then(|| done / seconds)
    }
}

/// Progress of one thing, on one line.
#[derive(Debug, Default)]
pub struct OneBar {
    doing: String,
    meter: Meter,
}

impl OneBar {
    #[must_use]
    pub fn line(&mut self, progress: &Progress, view: View) -> Line {
        if self.doing != progress.doing {
            self.doing.clone_from(&progress.doing);
            self.meter = Meter::default();
        }
        self.meter.add(view.now, progress.done);
        let head = Line::of(Tone::Busy, "▸ ").plain(&progress.doing).plain("  ");
        if progress.done == 0 && progress.total == 0 {
            return head.cut(view.width);
        }
        let room = view.width.saturating_sub(head.width());
        head.then(line(progress, &self.meter, room))
    }
}

/// The progress on one line of at most `width` columns.
pub(super) fn line(progress: &Progress, meter: &Meter, width: usize) -> Line {
    let mut text = Line::new().plain(amount(progress.done, progress.total, progress.unit));
    if let Some(per_second) = meter.rate().filter(|_| progress.unit != ProgressUnit::Percent) {
        text = text.dim(format!("  {}", rate(per_second, progress.unit)));
    }
    if let Some(left) = remaining(progress, meter) {
        text = text.dim("  ").plain(format!("{} left", ticking(left)));
    }
    let room = width.saturating_sub(text.width() + 2);
    if progress.total == 0 || room < SHORTEST_BAR {
        return text.cut(width);
    }
    bar(progress.done, progress.total, room.min(LONGEST_BAR)).plain("  ").then(text)
}

/// Filled in eighths, so that it moves even when it is slow.
pub(super) fn bar(done: u64, total: u64, width: usize) -> Line {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share between 0 and 1 of a width"
    )]
    let filled = ((done as f64 / total.max(1) as f64).clamp(0.0, 1.0) * (width * 8) as f64).floor() as usize;
    let head = format!("{}{}", "█".repeat(filled / 8), EIGHTHS[filled % 8]);
    let used = Line::new().plain(&head).width();
    Line::of(Tone::Busy, head).dim("░".repeat(width - used))
}

fn remaining(progress: &Progress, meter: &Meter) -> Option<Duration> {
    let left = progress.total.checked_sub(progress.done).filter(|_| progress.total > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let seconds = left as f64 / meter.rate()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::sample::at;

    fn rows(done: u64, total: u64) -> Progress {
        Progress { doing: String::new(), done, total, unit: ProgressUnit::Rows, backfill: None }
    }

    fn steady(per_second: u64) -> Meter {
        let mut meter = Meter::default();
        (0..5).for_each(|s| meter.add(at(s), per_second * u64::try_from(s).unwrap()));
        meter
    }

    #[test]
    fn a_bar_has_amount_rate_and_remaining_time_when_they_fit() {
        let shown = |width| line(&rows(120_000, 300_000), &steady(30_000), width).paint(false);
        assert_eq!(shown(74), "██████████▊░░░░░░░░░░░░░░░░  120,000/300,000 rows  30,000 rows/s  6 s left");
        assert_eq!(shown(52), "120,000/300,000 rows  30,000 rows/s  6 s left");
        assert_eq!(shown(20), "120,000/300,000 row…");
    }

    #[test]
    fn without_a_total_there_is_no_bar() {
        assert_eq!(line(&rows(5, 0), &Meter::default(), 80).paint(false), "5 rows");
    }

    #[test]
    fn a_bar_never_overflows() {
        for (done, total) in [(0, 1), (1, 1), (2, 1), (u64::MAX, u64::MAX), (1, u64::MAX), (5, 0)] {
            assert_eq!(bar(done, total, 10).width(), 10, "{done}/{total}");
        }
    }

    #[test]
    fn a_count_that_starts_again_is_measured_anew() {
        let mut meter = steady(100);
        meter.add(at(6), 0);
        assert_eq!(meter.rate(), None);
        meter.add(at(8), 20);
        assert_eq!(meter.rate(), Some(10.0));
    }
}
