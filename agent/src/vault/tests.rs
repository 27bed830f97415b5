use std::path::Path;
use std::sync::atomic::AtomicU64;

use sha2::{Digest as _, Sha256};
use stopover_model::report::{ErrorClass, StepError};
use stopover_tests::ObjectStore;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::*;

const PART: usize = 5 * 1024 * 1024;
const NAME: &str = "a.dump.zst";

/// The store's bucket, with the smallest parts that it takes.
pub(crate) fn bucket(store: &ObjectStore, parts: usize) -> Bucket {
    let options: Options = toml::from_str(&store.options()).unwrap();
    let mut bucket = Bucket::open("s3://backups/here/", &options, Path::new("/")).unwrap();
    bucket.limits.part = PART;
    bucket.limits.parts = parts;
    bucket
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|i| u8::try_from((i * 31 + i / 251) % 256).unwrap()).collect()
}

async fn uploaded(
    bucket: &Bucket,
    stem: &str,
    content: &[u8],
) -> Result<(Claim, super::upload::Stored), StepError> {
    let mut claim = Claim::take(bucket, stem, "agent-1").await?;
    let stored = claim.upload(&format!("{stem}.dump.zst"), content, &AtomicU64::new(0)).await;
    match stored {
        Ok(stored) => Ok((claim, stored)),
        Err(UploadError::Vault(error)) => Err(error.into()),
        Err(UploadError::Read(error)) => panic!("{error}"),
    }
}

async fn read(bucket: &Bucket, names: &[String]) -> Vec<u8> {
    let destination = Destination::Bucket(Arc::new(bucket.clone()));
    let mut back = Vec::new();
    destination.open(names).await.unwrap().read_to_end(&mut back).await.unwrap();
    back
}

#[tokio::test]
async fn what_goes_up_comes_back_in_as_many_objects_as_it_takes() {
    let store = ObjectStore::start().await;
    let bucket = bucket(&store, 2);
    for (stem, length, pieces) in
        [("a", 1_000, 1), ("b", PART, 1), ("c", 2 * PART, 1), ("d", 5 * PART + 7, 3)]
    {
        let content = content(length);
        let (claim, stored) = uploaded(&bucket, stem, &content).await.unwrap();
        assert_eq!((stored.pieces.len(), stored.bytes), (pieces, length as u64), "{stem}");
        assert_eq!(stored.sha256.as_bytes()[..], Sha256::digest(&content)[..], "{stem}");
        assert!(read(&bucket, &stored.pieces).await == content, "{stem}");
        claim.publish(&format!("{stem}.json"), "{}".into()).await.unwrap();
    }
    let objects = store.objects("here");
    assert_eq!(store.uploads(), 0);
    let expected = [
        "a.dump.zst",
        "a.json",
        "b.dump.zst",
        "b.json",
        "c.dump.zst",
        "c.json",
        "d.dump.zst",
        "d.dump.zst.2",
        "d.dump.zst.3",
        "d.json",
    ];
    assert_eq!(objects, expected);
}

#[tokio::test]
async fn an_upload_that_fails_half_way_leaves_nothing_once_it_is_abandoned() {
    struct Failing(usize);
    impl AsyncRead for Failing {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if self.0 == 0 {
                return std::task::Poll::Ready(Err(std::io::Error::other("the dump broke off")));
            }
            let count = buf.remaining().min(self.0);
            buf.put_slice(&vec![7; count]);
            self.0 -= count;
            std::task::Poll::Ready(Ok(()))
        }
    }
    let store = ObjectStore::start().await;
    let bucket = bucket(&store, 2);
    let mut claim = Claim::take(&bucket, "a", "agent-1").await.unwrap();
    let failed = claim.upload(NAME, Failing(3 * PART + 5), &AtomicU64::new(0)).await;
    assert!(matches!(failed, Err(UploadError::Read(_))), "{failed:?}");
    assert_eq!(store.uploads(), 1);
    claim.abandon().await.unwrap();
    assert_eq!((store.uploads(), store.objects("here")), (0, vec![]));
}

#[tokio::test]
async fn what_a_killed_run_left_goes_and_what_was_published_stays() {
    let store = ObjectStore::start().await;
    let bucket = bucket(&store, 2);
    let good = uploaded(&bucket, "good", &content(10)).await.unwrap().0;
    good.publish("good.json", "{}".into()).await.unwrap();
    // Killed between the manifest and the end of its claim.
    bucket
        .create("good.uploading", r#"{"agent":"a","uploads":[{"name":"good.dump.zst","id":""}]}"#.into())
        .await
        .unwrap();
    // Killed behind its last part, in its second object, and right after it had begun.
    drop(uploaded(&bucket, "whole", &content(3 * PART)).await.unwrap());
    drop(uploaded(&bucket, "others", &content(10)).await.unwrap());
    let mut half = Claim::take(&bucket, "half", "agent-1").await.unwrap();
    let (reading, mut writing) = tokio::io::duplex(1024);
    let task =
        tokio::spawn(
            async move { half.upload("half.dump.zst", reading, &AtomicU64::new(0)).await.map(drop) },
        );
    tokio::io::AsyncWriteExt::write_all(&mut writing, &content(2 * PART)).await.unwrap();
    stopover_tests::eventually("the upload begins", || async { (store.uploads() > 0).then_some(()) }).await;
    task.abort();
    let swept = sweep(&bucket, |stem| stem != "others", |stem| format!("{stem}.json")).await.unwrap();
    assert_eq!((swept, store.uploads()), (2, 0));
    assert_eq!(store.objects("here"), ["good.dump.zst", "good.json", "others.dump.zst", "others.uploading"]);
}

#[tokio::test]
async fn a_name_is_claimed_once_and_nothing_is_overwritten() {
    let store = ObjectStore::start().await;
    let bucket = bucket(&store, 2);
    let first = Claim::take(&bucket, "a", "agent-1").await.unwrap();
    assert!(Claim::take(&bucket, "a", "agent-2").await.unwrap_err().already_exists());
    first.publish("a.json", "1".into()).await.unwrap();
    let second = Claim::take(&bucket, "a", "agent-2").await.unwrap();
    let error: StepError = second.publish("a.json", "2".into()).await.unwrap_err().into();
    assert!(error.hint.unwrap().contains("nothing is ever overwritten"));
    assert_eq!(&bucket.read("a.json", 10).await.unwrap().unwrap()[..], b"1");
}

#[tokio::test]
async fn each_problem_of_a_bucket_has_its_way_out() {
    let store = ObjectStore::start().await;
    let url = |url: &str, change: (&str, &str)| {
        let options: Options = toml::from_str(&store.options().replace(change.0, change.1)).unwrap();
        Bucket::open(url, &options, Path::new("/")).unwrap()
    };
    let wrong = url("s3://backups", (stopover_tests::s3::SECRET, "another secret"));
    let error: StepError = Claim::take(&wrong, "a", "agent-1").await.unwrap_err().into();
    assert_eq!(error.class, ErrorClass::Setup, "{error:?}");
    assert!(error.hint.unwrap().contains("credentials"));
    assert!(!error.message.contains("another secret"));
    let none = url("s3://nowhere", ("x", "x"));
    let error: StepError = none.names().await.unwrap_err().into();
    assert!(error.hint.as_ref().unwrap().contains("make the bucket"), "{error:?}");
}
