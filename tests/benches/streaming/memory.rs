//! An object store of S3's protocol that keeps objects as they came, in memory: what it costs is little more than the protocol,
//! so that the processors are left to the agent, as they are beside a store that is elsewhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, ETag, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object, PutObjectInput, PutObjectOutput,
    StreamingBlob, Timestamp, UploadPartInput, UploadPartOutput,
};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

/// One bucket, whatever it is called.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    objects: BTreeMap<String, Content>,
    uploads: BTreeMap<String, BTreeMap<i32, Content>>,
    begun: usize,
}

/// The pieces in which it came.
type Content = Vec<Bytes>;

impl MemoryStore {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, key: &str) -> S3Result<Content> {
        self.kept().objects.get(key).cloned().ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchKey))
    }
}

fn length(content: &[Bytes]) -> u64 {
    content.iter().map(|piece| piece.len() as u64).sum()
}

fn signed(length: u64) -> Option<i64> {
    i64::try_from(length).ok()
}

async fn received(body: Option<StreamingBlob>) -> S3Result<Content> {
    let Some(body) = body else { return Ok(Content::new()) };
    body.try_collect()
        .await
        .map_err(|error| S3Error::with_message(S3ErrorCode::IncompleteBody, error.to_string()))
}

/// What of the pieces lies in the range.
fn part_of(content: Content, range: std::ops::Range<u64>) -> Content {
    let mut begins = 0;
    let mut parts = Content::new();
    for piece in content {
        let ends = begins + piece.len() as u64;
        let (from, to) = (range.start.max(begins), range.end.min(ends));
        if from < to {
            let within = |at: u64| usize::try_from(at - begins).expect("a place in a piece");
            parts.push(piece.slice(within(from)..within(to)));
        }
        begins = ends;
    }
    parts
}

fn tag() -> ETag {
    // The agent compares what it reads itself.
    ETag::Strong("kept".to_owned())
}

#[async_trait::async_trait]
impl S3 for MemoryStore {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { key, body, if_none_match, .. } = request.input;
        let content = received(body).await?;
        let mut kept = self.kept();
        if if_none_match.is_some() && kept.objects.contains_key(&key) {
            return Err(S3Error::new(S3ErrorCode::PreconditionFailed));
        }
        kept.objects.insert(key, content);
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(tag()), ..Default::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let content = self.object(&request.input.key)?;
        let all = length(&content);
        let range = match request.input.range {
            Some(range) => range.check(all)?,
            None => 0..all,
        };
        let content_range =
            request.input.range.map(|_| format!("bytes {}-{}/{all}", range.start, range.end - 1));
        let content_length = signed(range.end - range.start);
        let pieces = part_of(content, range).into_iter().map(Ok::<_, std::io::Error>);
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(futures::stream::iter(pieces).fuse())),
            content_length,
            content_range,
            e_tag: Some(tag()),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let content = self.object(&request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: signed(length(&content)),
            e_tag: Some(tag()),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.kept().objects.remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    /// Of objects right under the prefix; the bench has no deeper ones.
    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let prefix = request.input.prefix.unwrap_or_default();
        let kept = self.kept();
        let found = kept.objects.iter().filter(|(key, _)| key.starts_with(&prefix));
        let contents = found.map(|(key, content)| Object {
            key: Some(key.clone()),
            size: signed(length(content)),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Default::default()
        });
        let contents: Vec<_> = contents.collect();
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: i32::try_from(contents.len()).ok(),
            contents: Some(contents),
            is_truncated: Some(false),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let mut kept = self.kept();
        kept.begun += 1;
        let upload_id = kept.begun.to_string();
        kept.uploads.insert(upload_id.clone(), BTreeMap::new());
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(request.input.bucket),
            key: Some(request.input.key),
            upload_id: Some(upload_id),
            ..Default::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let UploadPartInput { upload_id, part_number, body, .. } = request.input;
        let content = received(body).await?;
        let mut kept = self.kept();
        let upload =
            kept.uploads.get_mut(&upload_id).ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchUpload))?;
        upload.insert(part_number, content);
        Ok(S3Response::new(UploadPartOutput { e_tag: Some(tag()), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let CompleteMultipartUploadInput { bucket, key, upload_id, .. } = request.input;
        let mut kept = self.kept();
        let upload =
            kept.uploads.remove(&upload_id).ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchUpload))?;
        kept.objects.insert(key.clone(), upload.into_values().flatten().collect());
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(tag()),
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.kept().uploads.remove(&request.input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
