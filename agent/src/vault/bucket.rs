//! A bucket and a prefix in it: small objects as a whole, large ones a range at a time.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use super::problem::VaultError;

/// What one request carries, in either direction. No request is so long that a line that breaks now and then never gets
/// it through, and memory is bounded by a few of them.
const PART: usize = 8 * 1024 * 1024;
/// As many parts as any store takes for one object. What is longer becomes several objects.
const PARTS: usize = 10_000;
/// At once, beside the one that is being filled.
const REQUESTS: usize = 2;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) part: usize,
    pub(crate) parts: usize,
    pub(crate) at_once: usize,
}

#[derive(Clone)]
pub struct Bucket {
    url: String,
    prefix: Path,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) multipart: Arc<dyn MultipartStore>,
    pub(crate) limits: Limits,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Bucket {
    pub(super) fn new(
        url: String,
        prefix: Path,
        objects: Arc<dyn ObjectStore>,
        multipart: Arc<dyn MultipartStore>,
    ) -> Self {
        let limits = Limits { part: PART, parts: PARTS, at_once: REQUESTS };
        Self { url, prefix, objects, multipart, limits }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn location(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    /// The names right under the prefix, and how long each object is.
    pub(crate) async fn names(&self) -> Result<Vec<(String, u64)>, VaultError> {
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty());
        let listed = self.objects.list_with_delimiter(prefix).await;
        let listed = listed.map_err(|source| self.error("list", "", source))?;
        let named = |object: object_store::ObjectMeta| {
            object.location.filename().map(|name| (name.to_owned(), object.size))
        };
        Ok(listed.objects.into_iter().filter_map(named).collect())
    }

    /// A small object; None where there is none, an error where it is longer than `most`.
    pub(crate) async fn read(&self, name: &str, most: u64) -> Result<Option<Bytes>, VaultError> {
        let failed = |source| self.error("read", name, source);
        let found = match self.objects.get(&self.path(name)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        if found.meta.size > most {
            let source =
                format!("it has {} bytes, and none of its kind has more than {most}", found.meta.size);
            return Err(failed(object_store::Error::Generic { store: "backup", source: source.into() }));
        }
        found.bytes().await.map(Some).map_err(failed)
    }

    /// How long an object is; None where there is none.
    pub(crate) async fn length(&self, name: &str) -> Result<Option<u64>, VaultError> {
        match self.objects.head(&self.path(name)).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.error("look at", name, source)),
        }
    }

    /// Writes a small object of a name that nothing has yet.
    pub(crate) async fn create(&self, name: &str, content: Bytes) -> Result<(), VaultError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.objects.put_opts(&self.path(name), PutPayload::from(content.clone()), options).await;
        match put {
            Ok(_) => Ok(()),
            // A store that knows no conditions: the next best is to look first.
            Err(object_store::Error::NotImplemented { .. } | object_store::Error::NotSupported { .. }) => {
                if self.length(name).await?.is_some() {
                    let source = "it is there already".into();
                    let source = object_store::Error::AlreadyExists { path: name.to_owned(), source };
                    return Err(self.error("write", name, source));
                }
                self.replace(name, content).await
            }
            Err(source) => Err(self.error("write", name, source)),
        }
    }

    pub(super) async fn replace(&self, name: &str, content: Bytes) -> Result<(), VaultError> {
        let put = self.objects.put(&self.path(name), PutPayload::from(content)).await;
        put.map(drop).map_err(|source| self.error("write", name, source))
    }

    /// What is gone already may be removed again.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), VaultError> {
        match self.objects.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.error("remove", name, source)),
        }
    }

    /// The objects' bytes, one object after the other, read a range at a time and a little ahead.
    pub(crate) async fn chunks(
        &self,
        names: &[String],
    ) -> Result<impl futures::Stream<Item = Result<Bytes, VaultError>> + Send + use<>, VaultError> {
        let mut objects = Vec::with_capacity(names.len());
        for name in names {
            let found = self.objects.head(&self.path(name)).await;
            let size = found.map_err(|source| self.error("read", name, source))?.size;
            objects.push((name.clone(), size));
        }
        let (step, bucket) = (self.limits.part, self.clone());
        let length = step as u64;
        let ranges = objects.into_iter().flat_map(move |(name, size)| {
            (0..size).step_by(step).map(move |from| (name.clone(), from..size.min(from + length)))
        });
        let read = move |(name, range): (String, std::ops::Range<u64>)| {
            let bucket = bucket.clone();
            async move {
                let read = bucket.objects.get_range(&bucket.path(&name), range).await;
                read.map_err(|source| bucket.error("read", &name, source))
            }
        };
        Ok(futures::stream::iter(ranges).map(read).buffered(2).into_stream())
    }

    pub(super) fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }

    pub(super) fn error(&self, doing: &'static str, name: &str, source: object_store::Error) -> VaultError {
        VaultError { doing, place: self.location(name), source }
    }
}
