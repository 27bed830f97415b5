//! What is known of the running steps beyond the deployment's state: bars, the current statement, waits for locks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use stopover_model::deployment::Deployment;
use stopover_model::event::{Event, Record, StepKey};
use stopover_model::report::{LogLine, Progress, ProgressUnit, Session};
use stopover_model::sql::notice_progress;

use super::backfill;
use super::bar::{self, Meter};
use crate::render::line::{Line, Tone};
use crate::render::number::{between, ticking};
use crate::render::script::summary;
use crate::render::{View, estimate};

/// Of all running steps.
#[derive(Debug, Default)]
pub struct Weather {
    steps: BTreeMap<StepKey, Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// From 0.
    statement: Option<u32>,
    progress: Option<Progress>,
    /// The agent reports progress, so that nothing is guessed from notices.
    reported: bool,
    meter: Meter,
    lock: Option<LockWait>,
}

#[derive(Debug)]
struct LockWait {
    retry: u32,
    again_at: Timestamp,
    blockers: Vec<Session>,
}

impl Weather {
    /// Takes in what a record says of running steps.
    pub fn observe(&mut self, record: &Record) {
        match &record.event {
            Event::StepStarted { step, .. } => {
                self.steps.insert(step.clone(), Running::default());
            }
            Event::StepLogged { step, line, .. } => {
                self.steps.entry(step.clone()).or_default().observe(line, record.at);
            }
            Event::StepFinished { step, .. } => {
                self.steps.remove(step);
            }
            _ => {}
        }
    }

    pub fn progress(&mut self, step: StepKey, progress: Progress, now: Timestamp) {
        let running = self.steps.entry(step).or_default();
        running.reported = true;
        running.advance(progress, now);
    }

    /// The lines below a running step's row.
    #[must_use]
    pub fn lines(&self, deployment: &Deployment, key: &StepKey, view: View) -> Vec<Line> {
        let mut lines = Vec::new();
        let running = self.steps.get(key);
        if let Some((index, (of, line, text))) = running
            .and_then(|r| r.statement)
            .and_then(|index| Some((index, summary(deployment, key, index)?)))
        {
            let number = format!("statement {} of {of}, line {line}: ", index + 1);
            lines.push(Line::new().dim(number).plain(text).cut(view.width));
        }
        match running.and_then(|r| r.progress.as_ref().map(|p| (r, p))) {
            Some((running, progress)) => {
                if !progress.doing.is_empty() {
                    lines.push(Line::new().dim(&progress.doing).cut(view.width));
                }
                lines.push(bar::line(progress, &running.meter, view.width));
                lines.extend(progress.backfill.iter().flat_map(|b| backfill::lines(b, view.width)));
            }
            None => lines.extend(expected(deployment, key).map(|l| l.cut(view.width))),
        }
        if let Some(lock) = running.and_then(|r| r.lock.as_ref()) {
            lines.extend(lock.lines(view));
        }
        lines
    }
}

impl Running {
    fn observe(&mut self, line: &LogLine, at: Timestamp) {
        match line {
            LogLine::StatementStarted { index } => {
                *self = Self { statement: Some(*index), reported: self.reported, ..Self::default() };
            }
            LogLine::StatementFinished { .. } => {
                self.progress = None;
                self.lock = None;
            }
            LogLine::LockWait { retry, again_in, blockers, .. } => {
                let again_at = at.checked_add(*again_in).unwrap_or(at);
                self.lock = Some(LockWait { retry: *retry, again_at, blockers: blockers.clone() });
            }
            LogLine::Notice { text, .. } => {
                if let Some((done, total)) = notice_progress(text).filter(|_| !self.reported) {
                    let unit = if total == 100 && text.contains('%') {
                        ProgressUnit::Percent
                    } else {
                        ProgressUnit::Rows
                    };
                    self.advance(Progress { doing: String::new(), done, total, unit, backfill: None }, at);
                }
            }
            LogLine::Message { .. } => {}
        }
    }

    fn advance(&mut self, progress: Progress, at: Timestamp) {
        // Words for what is done change with every batch; a count that begins again is the meter's to notice.
        if self.progress.as_ref().is_some_and(|p| p.unit != progress.unit) {
            self.meter = Meter::default();
        }
        self.meter.add(at, progress.done);
        self.progress = Some(progress);
        self.lock = None;
    }
}

impl LockWait {
    fn lines(&self, view: View) -> Vec<Line> {
        let again = if self.again_at > view.now {
            format!("try {} again within {}", self.retry + 1, ticking(between(view.now, self.again_at)))
        } else {
            format!("try {} waits for it", self.retry + 1)
        };
        let head = Line::of(Tone::Warn, "no lock: ").plain(again).cut(view.width);
        let blockers = self
            .blockers
            .iter()
            .map(|by| Line::of(Tone::Warn, "blocked by ").plain(by.to_string()).cut(view.width));
        std::iter::once(head).chain(blockers).collect()
    }
}

/// Before anything is measured here, what the plan says.
fn expected(deployment: &Deployment, key: &StepKey) -> Option<Line> {
    let target = deployment.stage(key.stage)?.target(&key.database)?;
    // What was rehearsed stands there already.
    let estimate = estimate::planned(target, key).filter(|_| estimate::rehearsed(target, key).is_none())?;
    Some(Line::new().dim(format!("{} expected: {}", estimate.words(), estimate.basis)))
}
