//! The courier with a real store, real HTTP and real SMTP.

use std::net::SocketAddr;
use std::path::PathBuf;

use secrecy::SecretString;
use stopover_model::event::{Event, Record, Waiting};
use stopover_model::id::{DeploymentId, SecretName, Seq};
use stopover_model::notice::{About, Notice, NotificationState, Telling};
use stopover_model::pipeline::{NoticeKind, Pipeline};
use stopover_tests::mailbox::{PASSWORD, USER};
use stopover_tests::receiver::Reply;
use stopover_tests::{Mailbox, Receiver};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::config::{Smtp, SmtpTls};
use crate::secrets::{SecretSource, Secrets};
use crate::store::{Hold, Learned, NewDeployment, Projection};
use crate::testing::{created, migration, now, soon, store};

const KEY: &str = "the key of the tests";

/// A store with a deployment, of which people are to be told.
struct Bench {
    dir: TempDir,
    store: Store,
    deployment: DeploymentId,
    seq: u64,
    secrets: Vec<(SecretName, SecretSource)>,
    smtp: Option<Smtp>,
    give_up_after: Duration,
    stop: CancellationToken,
}

impl Bench {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (dir, store) = store().await;
        let text = "name = \"p\"\n[[stage]]\nenvironment = \"staging\"\n";
        let pipeline = Pipeline::parse("p.toml", text).unwrap();
        let event = created(pipeline, &migration("001_x"));
        let deployment = DeploymentId::from_random(7);
        let record = Record { deployment: deployment.clone(), seq: Seq(1), at: now(), event };
        let new = NewDeployment { record: &record, bundles: &[], request_id: Uuid::new_v4() };
        store.create_deployment(new).await.unwrap();
        let mut bench = Self {
            dir,
            store,
            deployment,
            seq: 1,
            secrets: Vec::new(),
            smtp: None,
            give_up_after: Duration::from_hours(1),
            stop: CancellationToken::new(),
        };
        bench.secret("key", KEY);
        bench
    }

    fn secret(&mut self, name: &str, value: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, value).unwrap();
        self.secrets.push((name.parse().unwrap(), SecretSource::File(path.clone())));
        path
    }

    fn courier(&self) {
        let secrets: Secrets = self.secrets.iter().cloned().collect();
        let sender = Sender::new(secrets, self.smtp.clone()).unwrap();
        let courier = Courier::new(self.store.clone(), sender, now, self.give_up_after);
        tokio::spawn(courier.run(self.stop.clone()));
    }

    /// Something happens of which they are all to be told.
    async fn tell(&mut self, to: &[&NotifyTarget]) {
        self.seq += 1;
        let notice = Box::new(self.notice());
        let tell = |to: &&NotifyTarget| Telling::Tell { to: (*to).clone(), notice: notice.clone() };
        let tellings: Vec<_> = to.iter().map(tell).collect();
        let waiting = Waiting::Person { cause: self.seq.to_string() };
        let event = Event::WaitingChanged { waiting: Some(waiting) };
        let (deployment, seq) = (self.deployment.clone(), Seq(self.seq));
        let records = [Record { deployment, seq, at: now(), event }];
        let projection = Projection { outcome: None, at: "staging".into() };
        let learned = Learned { tellings: &tellings, ..Learned::default() };
        self.store.append_learned(&records, &projection, Hold::Keep, learned).await.unwrap();
    }

    fn notice(&self) -> Notice {
        let about = About {
            deployment: self.deployment.clone(),
            seq: Seq(self.seq),
            migrations: vec!["001_x".parse().unwrap()],
            by: "anna".parse().unwrap(),
        };
        Notice {
            kind: NoticeKind::Failed,
            waits: true,
            passing: false,
            at: now(),
            pipeline: "p".parse().unwrap(),
            about: Some(about),
            environment: Some("staging".parse().unwrap()),
            happened: format!("staging has stopped for the {}th time, für <immer>", self.seq),
            cause: Some("division by zero".into()),
            evidence: vec!["SQLSTATE 22012".into()],
            who: None,
            commands: Vec::new(),
            contacts: vec!["#db-oncall".into()],
        }
    }

    /// Waits until so many are in this state.
    async fn until(&self, state: NotificationState, number: usize) -> Vec<Notification> {
        let look = async {
            loop {
                let found = self.store.notifications(Some(state), 100).await.unwrap();
                if found.len() >= number {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(30), look).await;
        if found.is_err() {
            eprintln!("not {number} are {state:?}: {:#?}", self.store.notifications(None, 100).await);
        }
        found.unwrap()
    }

    /// Waits until one has come to nothing so often.
    async fn until_tried(&self, target: &NotifyTarget) -> Notification {
        let look = async {
            loop {
                let next = self.store.next_notification(target, now()).await.unwrap();
                if let Some(tried) = next.filter(|n| n.tries > 0) {
                    return tried;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("a try", look).await
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn webhook(url: String) -> NotifyTarget {
    NotifyTarget::Webhook { url, secret: "key".parse().unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_gets_the_notice_signed_with_its_secret() {
    let (mut bench, receiver) = (Bench::start().await, Receiver::start().await);
    let target = webhook(receiver.url("/x?a=b"));
    bench.courier();
    bench.tell(&[&target]).await;
    bench.until(NotificationState::Delivered, 1).await;
    let got = receiver.received().remove(0);
    let key: SecretString = KEY.into();
    assert_eq!(Signature::check(&key, &got.headers, now(), &got.body), Ok(()));
    assert!(Signature::check(&"another".into(), &got.headers, now(), &got.body).is_err());
    assert_eq!(got.header("webhook-id"), format!("{}-2", bench.deployment));
    let json = got.json();
    assert_eq!(
        (&json["type"], &json["data"]["environment"]),
        (&"deployment.failed".into(), &"staging".into())
    );
    assert!(json["data"]["text"].as_str().unwrap().contains("division by zero"), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_fails_at_first_gets_all_of_it_in_order() {
    let mut bench = Bench::start().await;
    let twice = |number, _: &_| Reply::Answer(if number < 2 { 500 } else { 204 }, "not yet\u{7}".into());
    let receiver = Receiver::answering(twice).await;
    let target = webhook(receiver.url("/"));
    for _ in 0..3 {
        bench.tell(&[&target]).await;
    }
    bench.courier();
    let delivered = bench.until(NotificationState::Delivered, 3).await;
    let ids: Vec<_> = receiver.received().iter().map(|r| r.header("webhook-id").to_owned()).collect();
    let id = |seq: u64| format!("{}-{seq}", bench.deployment);
    assert_eq!(ids, [id(2), id(2), id(2), id(3), id(4)], "a try has the same id as those before it");
    assert_eq!((delivered[2].tries, delivered[2].error.as_deref()), (2, Some("it answered 500: not yet")));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_down_and_one_that_hangs_delay_nobody_and_get_theirs_later() {
    let mut bench = Bench::start().await;
    let free: SocketAddr = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let hanging = Receiver::answering(|_, _| Reply::Hang).await;
    let good = Receiver::start().await;
    let (down, hangs, works) =
        (webhook(format!("http://{free}/")), webhook(hanging.url("/")), webhook(good.url("/")));
    bench.courier();
    for _ in 0..3 {
        bench.tell(&[&down, &hangs, &works]).await;
    }
    let delivered = bench.until(NotificationState::Delivered, 3).await;
    assert!(delivered.iter().all(|n| n.target == works));
    let tried = bench.until_tried(&down).await;
    assert!(tried.error.as_deref().unwrap().starts_with("could not reach it"), "{tried:?}");
    // After a restart it goes on.
    bench.stop.cancel();
    bench.stop = CancellationToken::new();
    let up = Receiver::at(free, |_, _| Reply::Answer(200, String::new())).await;
    bench.courier();
    bench.until(NotificationState::Delivered, 6).await;
    assert_eq!(up.received().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_its_content_is_given_up_and_no_redirect_is_followed() {
    let mut bench = Bench::start().await;
    let first = |number, _: &_| Reply::Answer(if number == 0 { 422 } else { 200 }, "no".into());
    let refusing = Receiver::answering(first).await;
    let other = Receiver::start().await;
    let elsewhere = other.url("/stolen");
    let leading = Receiver::answering(move |_, _| Reply::Redirect(elsewhere.clone())).await;
    let (refuses, leads) = (webhook(refusing.url("/")), webhook(leading.url("/")));
    bench.courier();
    bench.tell(&[&refuses, &leads]).await;
    bench.tell(&[&refuses]).await;
    let given_up = bench.until(NotificationState::GivenUp, 1).await;
    assert_eq!(given_up[0].error.as_deref(), Some("it answered 422: no"));
    bench.until(NotificationState::Delivered, 1).await;
    assert_eq!(bench.until_tried(&leads).await.error.as_deref(), Some("it answered 307"));
    assert!(other.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_arrived_in_time_is_given_up() {
    let mut bench = Bench::start().await;
    bench.give_up_after = Duration::ZERO;
    let receiver = Receiver::answering(|_, _| Reply::Answer(503, String::new())).await;
    bench.courier();
    bench.tell(&[&webhook(receiver.url("/"))]).await;
    assert_eq!(bench.until(NotificationState::GivenUp, 1).await[0].tries, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn slack_gets_words_and_its_url_is_nowhere_to_be_read() {
    let (mut bench, receiver) = (Bench::start().await, Receiver::start().await);
    let good = bench.secret("team", &format!("{}\n", receiver.url("/services/T0/s3cret")));
    let to = |name: &str| NotifyTarget::Slack { secret: name.parse().unwrap() };
    bench.secret("down", "http://127.0.0.1:9/services/T0/s3cret");
    bench.courier();
    bench.tell(&[&to("team"), &to("down"), &to("missing")]).await;
    bench.until(NotificationState::Delivered, 1).await;
    let got = receiver.received().remove(0);
    assert_eq!(got.path, "/services/T0/s3cret");
    let text = got.json()["text"].as_str().unwrap().to_owned();
    assert!(text.contains("*p: staging has stopped") && text.contains("&lt;immer&gt;"), "{text}");
    assert!(!got.headers.contains_key("webhook-signature"));
    let error = bench.until_tried(&to("down")).await.error.unwrap();
    assert!(error.starts_with("could not reach it") && !error.contains("s3cret"), "{error}");
    let error = bench.until_tried(&to("missing")).await.error.unwrap();
    assert!(error.contains("server.toml has no secret `missing`"), "{error}");
    // It lies in its file, and is read anew.
    std::fs::write(good, "nonsense").unwrap();
    bench.tell(&[&to("team")]).await;
    let error = bench.until_tried(&to("team")).await.error.unwrap();
    assert_eq!(error, "the secret `team` is no URL of an incoming webhook; it begins with https://");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_out_over_tls_with_a_login_as_one_thread() {
    let (mut bench, mailbox) = (Bench::start().await, Mailbox::start());
    bench.secret("mail", PASSWORD);
    let ca = bench.dir.path().join("ca.pem");
    std::fs::write(&ca, &mailbox.certificate).unwrap();
    bench.smtp = Some(Smtp {
        host: "localhost".into(),
        port: mailbox.address.port(),
        tls: SmtpTls::StartTls,
        login: Some((USER.into(), "mail".parse().unwrap())),
        from: "stopover@example.com".into(),
        ca: Some(ca),
    });
    let to = |to: &[&str]| NotifyTarget::Email { to: to.iter().map(|a| (*a).to_owned()).collect() };
    bench.courier();
    bench.tell(&[&to(&["dba@example.com", "anna@example.com"]), &to(&["nobody@example.com"])]).await;
    bench.until(NotificationState::Delivered, 1).await;
    let mail = mailbox.mails().remove(0);
    assert_eq!(mail.to, ["dba@example.com", "anna@example.com"]);
    assert_eq!((mail.from.as_str(), mail.trusted), ("stopover@example.com", true));
    assert!(mail.text.contains(&format!("References: <{}@example.com>", bench.deployment)), "{}", mail.text);
    assert!(mail.text.contains("division by zero") && mail.text.contains("#db-oncall"), "{}", mail.text);
    let refused = bench.until(NotificationState::GivenUp, 1).await.remove(0);
    assert!(refused.error.as_deref().unwrap().contains("did not take it"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_does_not_go_out_in_clear_nor_to_a_stranger() {
    let (mut bench, mailbox) = (Bench::start().await, Mailbox::start());
    bench.smtp = Some(Smtp {
        host: "localhost".into(),
        port: mailbox.address.port(),
        tls: SmtpTls::StartTls,
        login: None,
        from: "stopover@example.com".into(),
        // Its certificate is nobody's whom we know.
        ca: None,
    });
    let to = NotifyTarget::Email { to: vec!["dba@example.com".into()] };
    bench.courier();
    bench.tell(&[&to]).await;
    let error = bench.until_tried(&to).await.error.unwrap();
    assert!(error.contains("certificate") || error.contains("Certificate"), "{error}");
    assert!(mailbox.mails().is_empty());
}
