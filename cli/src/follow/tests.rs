use std::collections::VecDeque;

use stopover_model::event::{DeploymentOutcome, Event, StageIndex, StageOutcome};

use super::*;
use crate::failure::Exit;
use crate::render::sample::Story;

/// Streams as scripted, one for each time it is opened; remembers from where it was asked.
#[derive(Default)]
struct Script {
    streams: VecDeque<Result<Vec<Result<v1::WatchUpdate, Status>>, Status>>,
    asked: Vec<u64>,
}

impl Source for &mut Script {
    fn open(&mut self, after: Seq) -> BoxFuture<'_, Result<Updates, Status>> {
        self.asked.push(after.0);
        let next = self.streams.pop_front().unwrap_or_else(|| Err(Status::unavailable("the script is over")));
        Box::pin(async { next.map(|updates| futures::stream::iter(updates).boxed()) })
    }
}

fn quick() -> Patience {
    Patience {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        give_up: Duration::from_secs(5),
    }
}

fn story() -> Story {
    Story::begun()
        .staging_through()
        .migrated(1)
        .tell(Event::StageFinished { stage: StageIndex(1), outcome: StageOutcome::Succeeded })
        .tell(Event::Finished { outcome: DeploymentOutcome::Succeeded })
}

/// The records from one seq to another, the ends included.
fn records(story: &Story, from: usize, to: usize) -> Vec<Result<v1::WatchUpdate, Status>> {
    let update = |record: &Record| Ok(v1::WatchUpdate { kind: Some(Kind::Record(record.clone().into())) });
    story.records[from - 1..to].iter().map(update).collect()
}

fn caught_up() -> v1::WatchUpdate {
    v1::WatchUpdate { kind: Some(Kind::CaughtUp(true)) }
}

fn lost() -> Status {
    Status::unavailable("broken pipe")
}

/// The seqs told, and a word for anything else.
async fn told(script: &mut Script) -> Result<Vec<String>, Failure> {
    let mut follower = Follower::new(script, quick());
    let mut told = Vec::new();
    while let Some(update) = follower.next().await? {
        told.push(match update {
            Update::Record(record) => record.seq.to_string(),
            Update::Progress(..) => "progress".to_owned(),
            Update::CaughtUp => "caught up".to_owned(),
            Update::Lost(why) => format!("lost: {why}"),
            Update::Back => "back".to_owned(),
        });
    }
    Ok(told)
}

#[tokio::test]
async fn a_broken_stream_goes_on_after_the_last_record_and_says_so_once() {
    let story = story();
    let all = story.records.len();
    let mut first = records(&story, 1, 3);
    first.extend([Ok(caught_up()), Err(lost())]);
    // Comes again from further back than asked for, and breaks once more.
    let mut third = records(&story, 2, 5);
    third.extend([Ok(caught_up()), Err(lost())]);
    let mut last = records(&story, 6, all);
    last.push(Ok(caught_up()));
    let mut script = Script::default();
    script.streams.extend([Ok(first), Err(Status::unavailable("connection refused")), Ok(third), Ok(last)]);
    let told = told(&mut script).await.unwrap();
    let seqs: Vec<_> = told.iter().filter_map(|t| t.parse::<usize>().ok()).collect();
    assert_eq!(seqs, (1..=all).collect::<Vec<_>>());
    assert_eq!(told.iter().filter(|t| t.starts_with("lost")).count(), 2, "{told:?}");
    assert_eq!(told.iter().filter(|t| *t == "back").count(), 2, "{told:?}");
    assert_eq!(script.asked, [0, 3, 3, 5]);
}

#[tokio::test]
async fn a_gap_is_fetched_again_and_a_stream_that_just_ends_is_opened_again() {
    let story = story();
    let all = story.records.len();
    let gap = [records(&story, 1, 2), records(&story, 4, 5)].concat();
    let rest = [records(&story, 3, all), vec![Ok(caught_up())]].concat();
    let mut script = Script::default();
    script.streams.extend([Ok(gap), Ok(Vec::new()), Ok(rest)]);
    let told = told(&mut script).await.unwrap();
    assert_eq!(
        told.iter().filter_map(|t| t.parse::<usize>().ok()).collect::<Vec<_>>(),
        (1..=all).collect::<Vec<_>>()
    );
    assert_eq!(script.asked, [0, 2, 2]);
}

#[tokio::test]
async fn the_end_of_something_earlier_is_not_the_end() {
    let story = story();
    let all = story.records.len();
    let mut script = Script::default();
    script.streams.push_back(Ok([records(&story, 1, all), vec![Ok(caught_up())]].concat()));
    let mut follower = Follower::new(&mut script, quick()).not_before(Seq(all as u64 + 1));
    for _ in 0..=all {
        assert!(!matches!(follower.next().await, Ok(None)));
    }
    assert!(matches!(follower.next().await, Ok(Some(Update::Lost(_)))));
}

/// The seqs that are told until the stage in staging has ended.
async fn told_of_staging(updates: Vec<Result<v1::WatchUpdate, Status>>) -> (usize, Option<StageOutcome>) {
    let mut script = Script::default();
    script.streams.push_back(Ok(updates));
    let staging: EnvironmentName = "staging".parse().unwrap();
    let mut follower = Follower::new(&mut script, quick()).until_stage(Some(staging.clone()));
    let mut last = 0;
    while let Some(update) = follower.next().await.unwrap() {
        assert!(!matches!(update, Update::Lost(_)), "it ends before the stream does: {update:?}");
        last = follower.state().map_or(0, |state| usize::try_from(state.seq.0).unwrap());
    }
    (last, stage_outcome(follower.state().unwrap(), &staging))
}

#[tokio::test]
async fn the_end_of_a_stage_is_the_end_for_who_waits_for_it() {
    let story = story();
    let all = story.records.len();
    let is_end = |r: &Record| matches!(r.event, Event::StageFinished { stage: StageIndex(0), .. });
    let end = story.records.iter().position(is_end).unwrap() + 1;
    assert!(end < all, "the deployment goes on behind it");
    let mut live = records(&story, 1, 2);
    live.push(Ok(caught_up()));
    live.extend(records(&story, 3, all));
    assert_eq!(told_of_staging(live).await, (end, Some(StageOutcome::Succeeded)));
    // What has gone on when we come is told up to now.
    let mut late = records(&story, 1, end + 1);
    late.push(Ok(caught_up()));
    late.extend(records(&story, end + 2, all));
    assert_eq!(told_of_staging(late).await, (end + 1, Some(StageOutcome::Succeeded)));
}

#[tokio::test]
async fn what_does_not_pass_by_itself_is_told_at_once() {
    let mut script = Script::default();
    script.streams.push_back(Err(Status::not_found("there is no deployment x")));
    assert_eq!(told(&mut script).await.unwrap_err().exit, Exit::Usage);

    let mut script = Script::default();
    script.streams.push_back(Ok(vec![Err(Status::unauthenticated("no"))]));
    assert_eq!(told(&mut script).await.unwrap_err().exit, Exit::Usage);
}

#[tokio::test]
async fn a_server_that_never_comes_back_is_given_up() {
    let mut script = Script::default();
    let story = story();
    script.streams.push_back(Ok([records(&story, 1, 2), vec![Err(lost())]].concat()));
    let patience = Patience { give_up: Duration::from_millis(20), ..quick() };
    let mut follower = Follower::new(&mut script, patience);
    let failure = loop {
        match follower.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it did not end"),
            Err(failure) => break failure,
        }
    };
    assert_eq!(failure.exit, Exit::Unreachable);
}

#[tokio::test]
async fn a_log_that_can_not_be_is_an_error_and_not_a_guess() {
    let story = story();
    let mut records = records(&story, 1, 2);
    let Ok(v1::WatchUpdate { kind: Some(Kind::Record(second)) }) = &mut records[1] else { panic!() };
    second.event = Some(story.records[2].event.clone().into());
    let mut script = Script::default();
    script.streams.push_back(Ok(records));
    assert_eq!(told(&mut script).await.unwrap_err().exit, Exit::Failed);
}
