//! Each kind of event gives its notice once, and what is in it is what somebody who is woken needs.

use super::*;
use crate::deployment::tests as sample;
use crate::event::{StepKey, StepKind, Waiting};
use crate::id::{Attempt, Epoch};
use crate::report::{Effect, ErrorClass, Outcome, SqlPlace, StepError};

/// A deployment with what was told of it so far.
struct Story {
    deployment: Deployment,
    told: Vec<Telling>,
}

impl Story {
    fn new(notify: &str) -> Self {
        let text = format!(
            "name = \"users-db\"\ncontacts = [\"#db-oncall\"]\n{notify}\n\
             [[stage]]\nenvironment = \"staging\"\n[[stage]]\nenvironment = \"production\"\n"
        );
        let pipeline = Pipeline::parse("p.toml", &text).unwrap();
        let record = sample::created(pipeline, vec![sample::migration("001_a", true, false)]);
        Self { deployment: Deployment::open(&record).unwrap(), told: of_creation(&record) }
    }

    /// The notices of all events, for one who wants all.
    fn of_all() -> Self {
        Self::new("[[notify]]\nslack = \"all\"\nevents = [\"all\"]\n")
    }

    fn then(mut self, event: Event) -> Self {
        let (deployment, seq) = (self.deployment.id.clone(), self.deployment.seq.next());
        let at = sample::at(i64::try_from(seq.0).unwrap());
        let record = Record { deployment, seq, at, event };
        self.told.extend(tellings(&self.deployment, &record));
        self.deployment.apply(&record).unwrap();
        self
    }

    fn begun(self) -> Self {
        self.then(Event::StageStarted {
            stage: StageIndex(0),
            databases: vec!["users".parse().unwrap()],
            waves: Vec::new(),
        })
    }

    /// The inspection fails so.
    fn failed(self, error: StepError) -> Self {
        let step = StepKey::target(StageIndex(0), &"users".parse().unwrap(), StepKind::Inspect);
        let attempt = Attempt(1);
        let agent = "a".parse().unwrap();
        self.then(Event::StepStarted { step: step.clone(), attempt, epoch: Epoch(1), agent })
            .then(Event::StepFinished { step, attempt, outcome: Outcome::Failed { error, report: None } })
    }

    fn waits(self, waiting: Waiting) -> Self {
        self.then(Event::WaitingChanged { waiting: Some(waiting) })
    }

    fn notices(&self) -> Vec<&Notice> {
        fn notice(telling: &Telling) -> Option<&Notice> {
            match telling {
                Telling::Tell { notice, .. } => Some(notice),
                Telling::Withdraw { .. } => None,
            }
        }
        self.told.iter().filter_map(notice).collect()
    }

    fn kinds(&self) -> Vec<NoticeKind> {
        self.notices().iter().map(|notice| notice.kind).collect()
    }

    fn last(&self) -> &Notice {
        self.notices().last().copied().unwrap()
    }
}

fn error() -> StepError {
    let place =
        SqlPlace { file: "up.sql".into(), line: 3, column: 1, text: "  SELECT 1 / 0;\u{1b}[2J".into() };
    let error = StepError::new(ErrorClass::Sql, "division by zero <!channel>").with_effect(Effect::Partial);
    StepError { sqlstate: Some("22012".into()), place: Some(place), ..error.with_hint("divide by 1") }
}

fn pause(by: Actor) -> Event {
    Event::Paused { cause: "the inspection of users failed: division by zero <!channel>".into(), by }
}

fn anna() -> Actor {
    Actor::Operator("anna".parse().unwrap())
}

#[test]
fn a_failure_is_told_once_with_what_shows_it_and_what_to_type() {
    let story = Story::of_all().begun().failed(error()).then(pause(Actor::Pipeline));
    // What follows says the same to those who look at the deployment.
    let story = story.waits(Waiting::Person { cause: "the inspection of users failed".into() });
    assert_eq!(story.kinds(), [NoticeKind::Started, NoticeKind::Failed]);
    let id = &story.deployment.id;
    let expected = format!(
        "staging has stopped: a step failed, and everything is held as it is.

Pipeline    users-db
Deployment  {id} by ada: 001_a
Where       staging
When        2023-11-14 22:13:25 UTC
Cause       the inspection of users failed: division by zero <!channel>
Evidence    users inspect, attempt 1
            up.sql line 3: SELECT 1 / 0; [2J
            SQLSTATE 22012
            some of its statements took effect
            hint: divide by 1
Who acts    somebody who decides whether it goes on or back
Contacts    #db-oncall

What to type:
    stopover status {id}   shows what is there, step by step
    stopover resume {id}   tries again, with the same files
    stopover cancel {id}   stops here and leaves what was applied
"
    );
    assert_eq!(story.last().text(), expected);
    let subject = "[stopover] users-db: staging has stopped: a step failed, and everything is held as it is";
    assert_eq!(story.last().subject(), subject);
    let slack = story.last().slack();
    let slack = slack["text"].as_str().unwrap();
    assert!(slack.starts_with(":red_circle: *users-db: staging has stopped"), "{slack}");
    assert!(slack.contains("&lt;!channel&gt;") && !slack.contains("<!channel>"), "{slack}");
    let json = story.last().json();
    assert_eq!((&json["type"], &json["data"]["about"]["seq"]), (&"deployment.failed".into(), &5.into()));
    assert_eq!(json["data"]["text"], expected);
}

#[test]
fn an_unknown_outcome_asks_for_eyes() {
    let outcome = Outcome::Unknown { error: error() };
    let step = StepKey::target(StageIndex(0), &"users".parse().unwrap(), StepKind::Inspect);
    let start = Event::StepStarted {
        step: step.clone(),
        attempt: Attempt(1),
        epoch: Epoch(1),
        agent: "a".parse().unwrap(),
    };
    let story = Story::of_all().begun().then(start);
    let story = story.then(Event::StepFinished { step, attempt: Attempt(1), outcome });
    let story = story.then(pause(Actor::Pipeline));
    let commands: Vec<_> = story.last().commands.iter().map(|typed| typed.command.as_str()).collect();
    assert!(commands.iter().any(|c| c.ends_with("--not-applied")), "{commands:?}");
    assert!(!commands.iter().any(|c| c.contains("resume")), "nothing is tried blind: {commands:?}");
}

#[test]
fn what_people_do_and_how_it_ends_has_a_kind_each() {
    let story = Story::of_all()
        .begun()
        .then(pause(anna()))
        .then(Event::Resumed { by: anna(), databases: Vec::new() });
    let story = story.then(Event::CancelRequested { by: anna() });
    let story = story.then(Event::Finished { outcome: DeploymentOutcome::Cancelled });
    let kinds = [NoticeKind::Started, NoticeKind::Paused, NoticeKind::Resumed, NoticeKind::Cancelled];
    assert_eq!(story.kinds(), kinds);
    assert_eq!(story.last().happened, "001_a was cancelled by anna; what was applied stays");
}

#[test]
fn what_passes_by_itself_is_told_only_when_it_lasts() {
    let (environment, database) = (|| "staging".parse().unwrap(), || "users".parse().unwrap());
    let agent = "a".parse().unwrap();
    let away = Waiting::AgentAway { environment: environment(), database: database(), agent };
    let story = Story::of_all().begun().waits(away).then(Event::WaitingChanged { waiting: None });
    let (notice, withdrawn) = (story.last(), story.told.last().unwrap());
    assert_eq!(notice.kind, NoticeKind::Waiting);
    assert_eq!(notice.due(), notice.at.checked_add(PASSES_WITHIN).unwrap());
    assert!(matches!(withdrawn, Telling::Withdraw { at, .. } if *at < notice.due()));
    let story = Story::of_all().waits(Waiting::EnvironmentMissing { environment: environment() });
    assert_eq!(story.last().due(), story.last().at, "it does not pass by itself");
    let held = Waiting::EnvironmentHeld { environment: environment(), by: "0123456789".parse().unwrap() };
    let quiet = Story::of_all().waits(held).waits(Waiting::Soak {
        environment: environment(),
        until: sample::at(9),
        held: vec![],
    });
    assert_eq!(quiet.kinds(), [NoticeKind::Started]);
}

#[test]
fn gates_that_people_open_are_told_once_each() {
    use crate::gate::GateWait;
    let gates = |gates: Vec<GateWait>| Waiting::Gates { environment: "staging".parse().unwrap(), gates };
    let approvals = |have| GateWait::Approvals { have, need: 2, approvers: vec![] };
    let window = || GateWait::Window { opens: Some(sample::at(99)) };
    let list = || GateWait::Checklist { items: vec!["Team notified".into()] };
    let story = Story::of_all().begun().waits(gates(vec![window()]));
    assert_eq!(story.last().happened, "staging waits for its window");
    let who = story.last().who.clone().unwrap();
    assert!(who.starts_with("nobody has to: it goes on by itself at "), "{who}");
    let story = story.waits(gates(vec![window()]));
    assert_eq!(story.kinds(), [NoticeKind::Started, NoticeKind::Waiting], "once");
    let story = story.waits(gates(vec![approvals(0), list(), window()]));
    assert_eq!(story.last().happened, "staging waits for 2 approvals, for `Team notified` of its checklist");
    let commands: Vec<_> = story.last().commands.iter().map(|typed| typed.command.as_str()).collect();
    let id = &story.deployment.id;
    assert!(commands.contains(&format!("stopover tick {id} 'Team notified'").as_str()), "{commands:?}");
    assert!(commands.contains(&format!("stopover approve {id}").as_str()), "{commands:?}");
    let who = story.last().who.clone().unwrap();
    assert_eq!(who, "anybody else with a token approves; who has done it says so");
    let story = story.waits(gates(vec![approvals(1), window()]));
    let waiting = NoticeKind::Waiting;
    assert_eq!(story.kinds(), [NoticeKind::Started, waiting, waiting], "they are on their way");
    let story = story.waits(gates(vec![window()]));
    assert_eq!(story.last().happened, "staging waits for its window", "nobody else is waited for");
}

#[test]
fn each_is_told_what_it_asked_for() {
    let notify = "[[notify]]\nslack = \"usual\"\n[[notify]]\nemail = [\"a@b\"]\nevents = [\"waiting\"]\n\
                  [[notify]]\nwebhook = \"https://h/\"\nsecret = \"s\"\nevents = [\"succeeded\"]\n";
    let story = Story::new(notify).begun().failed(error()).then(pause(Actor::Pipeline));
    let to = story.told.iter().filter_map(|telling| match telling {
        Telling::Tell { to, .. } => Some(to.to_string()),
        Telling::Withdraw { .. } => None,
    });
    let to: Vec<_> = to.collect();
    assert_eq!(to, ["slack usual", "a@b"], "a failure that waits for somebody is something that waits");
    assert!(Story::new("").begun().failed(error()).then(pause(Actor::Pipeline)).told.is_empty());
}

#[test]
fn a_follow_up_that_fails_is_told_with_what_it_saw_and_one_that_holds_is_not() {
    use crate::follow_up::{FollowUpKey, Scheduled, Seen};
    use crate::migration::{Expectation, FollowUp, Scalar};
    let story = Story::of_all().begun();
    let deployment = &story.deployment;
    let name = "the index is used".to_owned();
    let follow_up = FollowUp {
        name: name.clone(),
        after: Duration::from_hours(168),
        again: None,
        sql: "SELECT 1".into(),
        expect: Some(Expectation::Value(Scalar::Int(1))),
    };
    let of = |passed: bool| {
        let mut scheduled = Scheduled {
            key: FollowUpKey {
                deployment: deployment.id.clone(),
                environment: "staging".parse().unwrap(),
                database: "users".parse().unwrap(),
                migration: "001_a".parse().unwrap(),
                name: name.clone(),
            },
            digest: deployment.migrations[0].digest,
            follow_up: follow_up.clone(),
            since: sample::at(0),
            system_identifier: "7".into(),
            runs: vec![],
            held: None,
            acknowledged: None,
            cancelled: None,
        };
        let at = sample::at(0).checked_add(follow_up.after).unwrap();
        scheduled.record(Seen { passed, expected: "1".into(), observed: "0".into() }, at);
        of_follow_up(deployment, &scheduled, at)
    };
    assert!(of(true).is_empty());
    let told = of(false);
    let Some(Telling::Tell { notice, .. }) = told.first() else { panic!("nobody is told") };
    assert_eq!(notice.kind, NoticeKind::FollowUpFailed);
    let text = notice.text();
    for said in [
        "the follow-up \"the index is used\" failed in staging/users, 7d 0h after the migration",
        "expected 1, observed 0",
        &format!("stopover acknowledge {} 'the index is used' --reason WHY", deployment.id),
    ] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
}

#[test]
fn a_trial_says_that_it_is_one() {
    let story = Story::of_all();
    let notice = Notice::trial(&story.deployment.pipeline, &"anna".parse().unwrap(), sample::at(0));
    assert!(notice.text().starts_with("this is a trial by anna"), "{}", notice.text());
    assert_eq!(notice.json()["type"], "deployment.trial");
}
