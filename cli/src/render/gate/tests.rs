use stopover_model::event::{Event, StageIndex, Waiting};
use stopover_model::gate::HookOutcome;
use stopover_model::id::Attempt;

use super::super::event;
use super::super::explain::Explanation;
use super::super::line::text;
use super::super::sample::{Story, at, view};
use super::super::{Depth, tree};

const PRODUCTION: StageIndex = StageIndex(1);

fn gates(story: Story) -> Story {
    let stage = &story.deployment.stages[1];
    let gates = stage.gates.closed(&stage.spec);
    let environment = stage.spec.environment.clone();
    story.tell(Event::WaitingChanged { waiting: Some(Waiting::Gates { environment, gates }) })
}

fn ticked(story: Story, item: &str) -> Story {
    story.tell(Event::Ticked { stage: PRODUCTION, item: item.into(), by: "admin".parse().unwrap() })
}

fn approved(story: Story, by: &str) -> Story {
    let digest = story.deployment.plan_digest(PRODUCTION).unwrap();
    let (by, groups) = (by.parse().unwrap(), vec!["dba".parse().unwrap()]);
    story.tell(Event::Approved { stage: PRODUCTION, by, groups, digest, reason: "seen".into() })
}

fn waiting() -> Story {
    gates(ticked(approved(Story::gated().staging_through().planned(1), "ben"), "Team notified"))
}

#[test]
fn status_says_what_is_missing_who_can_give_it_and_what_to_type() {
    let story = waiting();
    let lines = tree::lines(&story.deployment, view(), Depth::Rows);
    assert!(lines.iter().all(|l| l.width() <= 80), "{}", text(&lines));
    let shown = text(&lines);
    assert!(shown.contains("▸ production  waits at its gates "), "{shown}");
    let (_, waits) = shown.split_once("waits since").unwrap();
    insta::assert_snapshot!(waits, @r#"
     14:00:21 UTC in front of production for 2 gates
      · 1 of 2 approvals, by ben
        → somebody of the group dba or anna:
          stopover approve 4k2m9x0c1d --reason TEXT
        → stopover reject 4k2m9x0c1d --reason TEXT
      · the checklist, 1 of 2 done
        → whoever has done it: stopover tick 4k2m9x0c1d 'It'\''s "quiet"'
    "#);
}

#[test]
fn explain_says_what_was_passed_and_what_will_be_waited_for_later() {
    let story = waiting();
    let explanation = Explanation::of(&story.deployment, story.deployment.waiting_plan(), view());
    let shown = text(&explanation.lines(&story.deployment, view()));
    assert!(shown.contains("    ✓ approved, by ben: seen\n    ✓ Team notified, by admin\n"), "{shown}");
    let digest = story.deployment.plan_digest(PRODUCTION).unwrap().to_string();
    assert!(shown.contains(&format!("    plan {digest}\n")), "{shown}");
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["plan_digest"], digest);
    assert_eq!(json["waits"][0]["who"], "somebody of the group dba or anna");
    assert_eq!(json["waits"][0]["ways"][0], "stopover approve 4k2m9x0c1d --reason TEXT");
    assert_eq!(json["waits"][1]["since"], at(21).to_string());
    assert_eq!(json["passed"][0]["by"], "ben");

    let early = Story::gated().staging_through();
    let explanation = Explanation::of(&early.deployment, early.deployment.waiting_plan(), view());
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["later"][0]["environment"], "production");
    let shown = text(&explanation.lines(&early.deployment, view()));
    assert!(shown.contains("waits for nothing: it is at work\n"), "{shown}");
    let words = "then production will wait for 0 of 2 approvals; the checklist, 0 of 2 done\n";
    assert!(shown.contains(words), "{shown}");
}

#[test]
fn who_alone_could_approve_is_told_that_nobody_can() {
    let mut story = Story::gated().staging_through().planned(1);
    story.deployment.stages[1].spec.approvals.approvers = vec!["admin".parse().unwrap()];
    let shown = text(&tree::footer(&gates(story).deployment, view()));
    let way = "    → nobody can, since admin created it; let another person deploy it:\n      stopover cancel 4k2m9x0c1d\n";
    assert!(shown.contains(way), "{shown}");
}

#[test]
fn each_event_is_a_line() {
    let mut story = Story::gated_with_all().staging_through().planned(1);
    let digest = story.deployment.plan_digest(PRODUCTION).unwrap();
    let first = story.records.len();
    let stage = PRODUCTION;
    let ben = || "ben".parse().unwrap();
    let groups = || vec!["dba".parse().unwrap()];
    for event in [
        Event::Approved { stage, by: ben(), groups: groups(), digest, reason: "looks good".into() },
        Event::ApprovalsVoided { stage, why: "the plan has changed: users has 120,000 rows".into() },
        Event::Ticked { stage, item: "Team notified".into(), by: ben() },
        Event::StageRefreshed { stage, why: "what was found there is 3h 00m old".into() },
        Event::WindowOverridden { stage, by: ben(), reason: "an incident".into() },
        Event::HookStarted { stage, hook: "deploy".parse().unwrap(), attempt: Attempt(1) },
        Event::HookFinished {
            stage,
            hook: "deploy".parse().unwrap(),
            attempt: Attempt(1),
            outcome: HookOutcome::Failed { reason: "2 tests failed".into() },
            by: stopover_model::event::Actor::Hook("deploy".parse().unwrap()),
        },
        Event::Rejected { stage, by: ben(), groups: groups(), reason: "not on a Friday".into() },
    ] {
        story = story.tell(event);
    }
    let told: String =
        story.records[first..].iter().map(|r| text(&event::lines(r, &story.deployment, view()))).collect();
    let told: Vec<_> = told.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    assert_eq!(
        told,
        [
            "production is approved by ben: looks good",
            "production has to be approved again: the plan has changed: users has 120,000 rows",
            "production `Team notified` is done, says ben",
            "production is looked at again: what was found there is 3h 00m old",
            "production does not wait for its window, says ben: an incident",
            "production deploy is waited for",
            "production deploy failed, says the hook deploy: 2 tests failed",
            "production is rejected by ben: not on a Friday",
        ]
    );
}
