use stopover_model::id::Seq;
use stopover_model::notice::{About, Notice, NotificationState, Telling};
use stopover_model::pipeline::{NoticeKind, NotifyTarget};
use uuid::Uuid;

use super::super::{Hold, Learned};
use super::{Place, Store, at, create, going_on, id, on_both, waits};

on_both!(
    what_is_to_be_told_waits_in_order_for_each_target_until_it_is_settled,
    what_has_passed_is_withdrawn_before_it_is_due,
    nothing_is_told_of_a_lost_append,
    what_was_settled_long_ago_is_forgotten,
);

fn slack(name: &str) -> NotifyTarget {
    NotifyTarget::Slack { secret: name.parse().unwrap() }
}

fn notice(seq: u64, passing: bool) -> Notice {
    Notice {
        kind: NoticeKind::Waiting,
        waits: true,
        passing,
        at: at(i64::try_from(seq).unwrap()),
        pipeline: "users-db".parse().unwrap(),
        about: Some(About {
            deployment: id(1),
            seq: Seq(seq),
            migrations: vec!["001_x".parse().unwrap()],
            by: "ada".parse().unwrap(),
        }),
        environment: None,
        happened: format!("event {seq}, \"odd\" é"),
        cause: None,
        evidence: vec!["a".into()],
        who: None,
        commands: Vec::new(),
        contacts: Vec::new(),
    }
}

fn tell(to: &NotifyTarget, notice: Notice) -> Telling {
    Telling::Tell { to: to.clone(), notice: Box::new(notice) }
}

async fn learn(store: &Store, seq: u64, tellings: &[Telling]) {
    let learned = Learned { tellings, ..Learned::default() };
    store.append_learned(&[waits(&id(1), seq)], &going_on(), Hold::Keep, learned).await.unwrap();
}

async fn what_is_to_be_told_waits_in_order_for_each_target_until_it_is_settled(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let (a, b) = (slack("a"), slack("b"));
    learn(&store, 2, &[tell(&a, notice(2, false)), tell(&b, notice(2, false))]).await;
    tokio::time::timeout(std::time::Duration::from_secs(20), store.news()).await.expect("the news");
    learn(&store, 3, &[tell(&a, notice(3, false))]).await;
    assert_eq!(store.due_targets(at(9)).await.unwrap(), [a.clone(), b.clone()].into());

    let first = store.next_notification(&a, at(9)).await.unwrap().unwrap();
    assert_eq!((&first.notice, first.state, first.tries), (&notice(2, false), NotificationState::Waiting, 0));
    store.notification_failed(first.number, "it answered 500", None).await.unwrap();
    let again = store.next_notification(&a, at(9)).await.unwrap().unwrap();
    assert_eq!(
        (again.number, again.tries, again.error.as_deref()),
        (first.number, 1, Some("it answered 500"))
    );
    store.notification_delivered(first.number, at(10)).await.unwrap();
    let second = store.next_notification(&a, at(9)).await.unwrap().unwrap();
    assert_eq!(second.notice, notice(3, false));
    store.notification_failed(second.number, "gone", Some(at(11))).await.unwrap();
    assert!(store.next_notification(&a, at(12)).await.unwrap().is_none());
    assert_eq!(store.due_targets(at(12)).await.unwrap(), [b].into());
    // What is settled stays so.
    store.notification_delivered(second.number, at(12)).await.unwrap();

    let all = store.notifications(None, 9).await.unwrap();
    let states: Vec<_> = all.iter().map(|n| (n.number, n.state, n.settled_at)).collect();
    let (given_up, delivered) = (NotificationState::GivenUp, NotificationState::Delivered);
    let waiting = (first.number + 1, NotificationState::Waiting, None);
    let expected =
        [(second.number, given_up, Some(at(11))), waiting, (first.number, delivered, Some(at(10)))];
    assert_eq!(states, expected);
    assert_eq!(store.notifications(Some(given_up), 9).await.unwrap().len(), 1);
    assert_eq!(store.notifications(None, 1).await.unwrap().len(), 1);
}

async fn what_has_passed_is_withdrawn_before_it_is_due(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let a = slack("a");
    learn(&store, 2, &[tell(&a, notice(2, true)), tell(&a, notice(3, false))]).await;
    let due = notice(2, true).due();
    assert!(store.next_notification(&a, at(4)).await.unwrap().is_some_and(|n| !n.notice.passing));
    assert_eq!(store.next_due(at(4)).await.unwrap(), Some(due));
    let passed = Telling::Withdraw { deployment: id(1), at: at(5) };
    learn(&store, 3, std::slice::from_ref(&passed)).await;
    assert_eq!(store.next_due(at(4)).await.unwrap(), None);
    assert_eq!(store.notifications(None, 9).await.unwrap().len(), 1, "what was due is told");
}

async fn nothing_is_told_of_a_lost_append(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let tellings = [tell(&slack("a"), notice(7, false))];
    let learned = Learned { tellings: &tellings, ..Learned::default() };
    assert!(store.append_learned(&[waits(&id(1), 7)], &going_on(), Hold::Keep, learned).await.is_err());
    assert!(store.notifications(None, 9).await.unwrap().is_empty());
}

async fn what_was_settled_long_ago_is_forgotten(place: Place) {
    let store = place.open().await;
    create(&store, &id(1), 0, Uuid::new_v4()).await;
    let a = slack("a");
    learn(&store, 2, &[tell(&a, notice(2, false)), tell(&a, notice(3, false))]).await;
    let first = store.next_notification(&a, at(9)).await.unwrap().unwrap();
    store.notification_delivered(first.number, at(10)).await.unwrap();
    store.forget_notifications(at(10)).await.unwrap();
    assert_eq!(store.notifications(None, 9).await.unwrap().len(), 2);
    store.forget_notifications(at(11)).await.unwrap();
    assert_eq!(store.notifications(None, 9).await.unwrap().len(), 1, "what is on its way is kept");
}
