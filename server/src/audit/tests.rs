//! The heads on their way to a real receiver.

use ring::signature::{ED25519, UnparsedPublicKey};
use stopover_model::audit::AuditHead;
use stopover_tests::Receiver;
use stopover_tests::receiver::{Received, Reply, signature};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::AuditWebhook;
use crate::secrets::{SecretSource, Secrets};
use crate::testing::{now, soon, store};

const KEY: &str = "the key of the tests";

/// A store, and a server that runs on it for a while.
struct Bench {
    dir: TempDir,
    store: Store,
    audit: Audit,
    stop: CancellationToken,
}

impl Bench {
    /// Nothing is sent yet.
    async fn start(webhook: Option<String>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (dir, store) = store().await;
        std::fs::write(dir.path().join("key"), KEY).unwrap();
        let audit = open(&dir, &store, webhook).await;
        Self { dir, store, audit, stop: CancellationToken::new() }
    }

    /// As if the server had been killed.
    async fn again(&mut self, webhook: Option<String>) {
        self.stop.cancel();
        self.stop = CancellationToken::new();
        self.audit = open(&self.dir, &self.store, webhook).await;
    }

    fn send(&self) {
        let source = SecretSource::File(self.dir.path().join("key"));
        let secrets: Secrets = [("key".parse().unwrap(), source)].into_iter().collect();
        let herald = self.audit.herald(Sender::new(secrets, None).unwrap()).unwrap();
        tokio::spawn(herald.run(self.stop.clone()));
    }

    async fn record(&self, count: usize) {
        for _ in 0..count {
            let entry = AuditEntry {
                by: AuditActor::Server,
                through: None,
                from: String::new(),
                what: "Deploy".to_owned(),
                about: String::new(),
                digest: None,
                outcome: AuditOutcome::Asked,
            };
            self.audit.record(entry).await.unwrap();
        }
    }

    async fn until(&self, what: &str, fits: impl Fn(&Delivery) -> bool) -> Delivery {
        let look = async {
            loop {
                let delivery = self.audit.delivery().await.unwrap().unwrap();
                if fits(&delivery) {
                    return delivery;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(what, look).await
    }

    async fn until_all_arrived(&self) -> Delivery {
        self.until("the last head", |delivery| delivery.undelivered.count == 0).await
    }

    /// The heads of a call, whose signatures are right.
    fn heads(&self, call: &Received) -> Vec<u64> {
        let (id, timestamp) = (call.header("webhook-id"), call.header("webhook-timestamp"));
        assert_eq!(call.header("webhook-signature"), signature(KEY, id, timestamp, &call.body));
        let body = call.json();
        assert_eq!(body["type"], "audit.heads");
        let public = std::fs::read_to_string(self.dir.path().join("audit.pub")).unwrap();
        assert_eq!(body["data"]["public_key"], public.trim());
        let key = UnparsedPublicKey::new(&ED25519, self.audit.public_key());
        let heads = body["data"]["heads"].as_array().unwrap().iter();
        let proven = heads.map(|head| {
            let seq = head["seq"].as_u64().unwrap();
            let signed = AuditHead { seq, hash: head["hash"].as_str().unwrap().parse().unwrap() };
            let signature = base64_of(head["signature"].as_str().unwrap());
            key.verify(signed.signed_text().as_bytes(), &signature).unwrap();
            seq
        });
        proven.collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn open(dir: &TempDir, store: &Store, webhook: Option<String>) -> Audit {
    let webhook = webhook.map(|url| AuditWebhook { url, secret: "key".parse().unwrap() });
    let settings = AuditSettings { head_file: None, webhook };
    Audit::open(dir.path(), &settings, store.clone(), now).await.unwrap()
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_arrive_in_order_and_none_is_lost_while_the_receiver_is_down() {
    let up = |number, _: &_| Reply::Answer(if number < 2 { 503 } else { 200 }, "full".into());
    let receiver = Receiver::answering(up).await;
    let bench = Bench::start(Some(receiver.url("/heads"))).await;
    bench.record(3).await;
    bench.send();
    let down = bench.until("a try that comes to nothing", |delivery| delivery.failing.is_some()).await;
    assert_eq!(down.failing.unwrap().error, "it answered 503: full");
    assert_eq!((down.undelivered.count, down.url), (3, receiver.url("/heads")));
    assert!(down.undelivered.since.is_some());
    bench.record(2).await;
    let arrived = bench.until_all_arrived().await;
    assert_eq!((arrived.failing, arrived.undelivered.since), (None, None));

    let calls = receiver.received();
    let ids: Vec<_> = calls.iter().map(|call| call.header("webhook-id")).collect();
    assert_eq!(ids[..3], ["audit-1-3"; 3], "the same call until it is taken");
    let heads: Vec<_> = calls[2..].iter().flat_map(|call| bench.heads(call)).collect();
    assert_eq!(heads, [1, 2, 3, 4, 5]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_before_the_server_was_killed_is_sent_after_it() {
    let receiver = Receiver::start().await;
    let mut bench = Bench::start(Some(receiver.url("/"))).await;
    bench.record(250).await;
    bench.again(Some(receiver.url("/"))).await;
    bench.send();
    bench.until_all_arrived().await;
    let calls = receiver.received();
    assert_eq!(calls.len(), 3);
    let heads: Vec<_> = calls.iter().flat_map(|call| bench.heads(call)).collect();
    assert_eq!(heads, (1..=250).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_comes_later_begins_with_the_head_of_then() {
    let receiver = Receiver::start().await;
    let mut bench = Bench::start(None).await;
    bench.record(4).await;
    assert_eq!(bench.audit.delivery().await.unwrap(), None);
    bench.again(Some(receiver.url("/"))).await;
    bench.send();
    bench.until_all_arrived().await;
    bench.record(1).await;
    receiver.until("the next head", |call| call.header("webhook-id") == "audit-5-5").await;
    assert_eq!(receiver.received().iter().flat_map(|call| bench.heads(call)).collect::<Vec<_>>(), [4, 5]);
}
