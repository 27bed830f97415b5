//! A backfill's time: the work in batches, and no faster than it may go.

use std::time::Duration;

use super::Spread;
use super::answer::Answer;
use crate::backfill::Throttle;
use crate::duration::human;
use crate::plan::grouped;
use crate::plan::rates::{as_f64, seconds};

/// What batches cost over one statement for all rows: a commit and a look at the signals for each.
const BATCHES: f64 = 1.3;

/// What all rows at once take, done in batches.
pub(super) fn in_batches(answer: Answer) -> Answer {
    each(answer, |time| seconds(time.as_secs_f64() * BATCHES))
}

/// Never less than the settings of its speed allow.
pub(super) fn bounded(mut answer: Answer, rows: u64, throttle: &Throttle) -> Answer {
    let least =
        throttle.max_rate.map(|rate| seconds(as_f64(rows) / f64::from(rate.max(1)))).unwrap_or_default();
    let pause = throttle.pause.unwrap_or_default();
    let with_pauses = |time: Duration| {
        let batches = (time.as_secs_f64() / throttle.target().as_secs_f64().max(0.001)).ceil();
        seconds(time.as_secs_f64() + batches * pause.as_secs_f64())
    };
    if !pause.is_zero() {
        let target = human(throttle.target());
        answer.basis = format!("{}, with {} between two batches of {target}", answer.basis, human(pause));
    }
    if let Some(rate) = throttle.max_rate.filter(|_| least > with_pauses(answer.duration)) {
        answer.basis = format!("at most {} rows/s", grouped(rate.into()));
    }
    answer.basis += "; holds come on top";
    each(answer, |time| with_pauses(time).max(least))
}

fn each(answer: Answer, change: impl Fn(Duration) -> Duration) -> Answer {
    Answer {
        duration: change(answer.duration),
        spread: answer.spread.map(|s| Spread { low: change(s.low), high: change(s.high) }),
        basis: answer.basis,
    }
}
