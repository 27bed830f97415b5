//! Shows a deployment until its end: live on a terminal, a line an event elsewhere, JSON where it was asked for.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use stopover_model::deployment::Deployment;
use stopover_model::event::{Event, Record};
use stopover_model::id::{EnvironmentName, Seq};
use stopover_model::report::LogLine;
use tokio::time::MissedTickBehavior;

use crate::client::Control;
use crate::failure::Failure;
use crate::follow::{Follower, Patience, Source, Update, Watch};
use crate::live::{Screen, Weather, frame};
use crate::output::Output;
use crate::render::line::{Line, Tone};
use crate::render::{self, View};
use crate::render::{Depth, tree};

/// Ten frames a second are smooth, and nothing for the machine.
const TICK: Duration = Duration::from_millis(100);
/// Of what was logged before we came, so many lines are shown.
const OLD_LINES: usize = 10;

/// How the watching ended.
pub enum Ended {
    /// With the deployment, or the stage that was waited for, in this state.
    Deployment(Box<Deployment>),
    /// With Ctrl-C.
    Detached,
}

/// Shows what happens from `since` on, and ends with the deployment, but not with an end before that.
pub async fn show(output: Output, control: Control, id: &str, since: Seq) -> Result<Ended, Failure> {
    let follower = Follower::new(Watch::new(control, id), Patience::default()).not_before(since);
    follow(output, follower, id, since).await
}

/// Shows it from its beginning, until the stage in this environment has ended, or all of it.
pub async fn show_until(
    output: Output,
    control: Control,
    id: &str,
    stage: EnvironmentName,
) -> Result<Ended, Failure> {
    let follower = Follower::new(Watch::new(control, id), Patience::default()).until_stage(Some(stage));
    follow(output, follower, id, Seq::ZERO).await
}

async fn follow(output: Output, follower: Follower<Watch>, id: &str, since: Seq) -> Result<Ended, Failure> {
    let mut show = Show::new(output, since);
    if show.run(follower).await? {
        if let Some(screen) = show.screen.take() {
            screen.clear();
        }
        return Ok(Ended::Deployment(Box::new(show.finish()?)));
    }
    show.screen = None;
    let id = show.state.as_ref().map_or(id, |s| s.id.as_str());
    let words = Line::new().plain("detached; the deployment goes on. Come back with: ");
    output.note(&words.strong(format!("stopover watch {id}")));
    Ok(Ended::Detached)
}

struct Show {
    output: Output,
    since: Seq,
    state: Option<Deployment>,
    weather: Weather,
    screen: Option<Screen>,
    /// Lines logged before we came; None once all that is told.
    old: Option<VecDeque<Line>>,
}

impl Show {
    fn new(output: Output, since: Seq) -> Self {
        let screen = output.live.then(|| Screen::new(output));
        Self { output, since, state: None, weather: Weather::default(), screen, old: Some(VecDeque::new()) }
    }

    /// Whether it ran to the end that the follower knows.
    async fn run(&mut self, mut follower: Follower<impl Source>) -> Result<bool, Failure> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut interrupted = pin!(tokio::signal::ctrl_c());
        loop {
            // Kept through the ticks: a pause before the next try must not begin again with each of them.
            let mut next = pin!(follower.next());
            let update = loop {
                tokio::select! {
                    update = &mut next => break update?,
                    _ = ticks.tick(), if self.screen.is_some() => self.draw(),
                    _ = &mut interrupted => return Ok(false),
                }
            };
            match update {
                Some(update) => self.update(update)?,
                None => return Ok(true),
            }
        }
    }

    fn update(&mut self, update: Update) -> Result<(), Failure> {
        match update {
            Update::Record(record) => self.record(&record),
            Update::Progress(step, progress) => {
                self.weather.progress(step, progress, Timestamp::now());
                Ok(())
            }
            Update::CaughtUp => {
                for line in self.old.take().unwrap_or_default() {
                    self.aside(&line);
                }
                Ok(())
            }
            Update::Lost(why) => {
                let line = Line::of(Tone::Warn, "connection lost")
                    .dim(format!(" ({why})"))
                    .plain("; connecting again");
                self.aside(&line);
                Ok(())
            }
            Update::Back => {
                self.aside(&Line::of(Tone::Good, "connected again"));
                Ok(())
            }
        }
    }

    fn record(&mut self, record: &Record) -> Result<(), Failure> {
        // The follower has folded it already, so that it is legal here too.
        match &mut self.state {
            Some(state) => drop(state.apply(record)),
            None => self.state = Deployment::open(record).ok(),
        }
        self.weather.observe(record);
        let Some(state) = self.state.as_ref().filter(|_| record.seq >= self.since) else { return Ok(()) };
        if self.output.json {
            return self.output.json(record);
        }
        if self.screen.is_none() {
            return self.output.lines(&render::event::lines(record, state, self.output.log_view()));
        }
        let lines = scrolling(record, state, self.output.view());
        match &mut self.old {
            Some(old) => {
                old.extend(lines);
                let surplus = old.len().saturating_sub(OLD_LINES);
                old.drain(..surplus);
            }
            None => lines.iter().for_each(|line| self.aside(line)),
        }
        Ok(())
    }

    /// Above the live view, or beside the output.
    fn aside(&self, line: &Line) {
        match &self.screen {
            Some(screen) => screen.above(line),
            None => self.output.note(line),
        }
    }

    fn draw(&self) {
        if let (Some(screen), Some(state)) = (&self.screen, &self.state) {
            let (view, height) = screen.view(Timestamp::now());
            screen.draw(&frame(state, &self.weather, view, height));
        }
    }

    /// The whole tree stays on the terminal; a log has told everything.
    fn finish(&mut self) -> Result<Deployment, Failure> {
        let state = self.state.take().ok_or_else(|| Failure::failed("the deployment has no log"))?;
        if self.output.live {
            self.output.lines(&tree::lines(&state, self.output.view(), Depth::Full))?;
        }
        Ok(state)
    }
}

/// What scrolls above the tree: words of the database and the agent, and failures that another try would wipe away.
fn scrolling(record: &Record, state: &Deployment, view: View) -> Vec<Line> {
    match &record.event {
        Event::StepLogged { step, line, .. } if render::event::names_a_check(state, step, line) => Vec::new(),
        Event::StepLogged { step, line, .. } => match line {
            LogLine::Notice { .. } | LogLine::Message { .. } | LogLine::LockWait { .. } => {
                let time = Line::new().dim(record.at.strftime("%H:%M:%S  ").to_string());
                let place = Line::new().dim(format!("{} ", step.database));
                let text = render::event::logged(state, step, line);
                vec![time.then(place).then(text).cut(view.width.saturating_sub(1))]
            }
            LogLine::StatementStarted { .. } | LogLine::StatementFinished { .. } => Vec::new(),
        },
        Event::StepFinished { outcome, .. } if outcome.error().is_some() => {
            render::event::lines(record, state, View { width: view.width.saturating_sub(1), ..view })
        }
        _ => Vec::new(),
    }
}
