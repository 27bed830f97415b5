//! An object store of S3's protocol, with signatures, on this machine: s3s over a directory.

use std::path::{Path, PathBuf};

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::S3;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub const BUCKET: &str = "backups";
pub const KEY: &str = "stopover-test";
pub const SECRET: &str = "a secret of the tests";

/// Ends with its value.
#[derive(Debug)]
pub struct ObjectStore {
    served: Served,
    root: TempDir,
}

/// A store of S3's protocol behind a port of this machine. Ends with its value.
#[derive(Debug)]
pub struct Served {
    endpoint: String,
    serving: JoinHandle<()>,
}

impl ObjectStore {
    /// With one empty bucket, [`BUCKET`].
    pub async fn start() -> Self {
        let root = tempfile::Builder::new().prefix("stopover-s3-").tempdir().expect("a directory");
        std::fs::create_dir(root.path().join(BUCKET)).expect("a bucket");
        let files = FileSystem::new(root.path()).expect("the bucket's directory");
        Self { served: Served::start(files).await, root }
    }

    /// The keys of `[backup.options]` with which an agent gets in.
    #[must_use]
    pub fn options(&self) -> String {
        self.served.options()
    }

    /// Where the bucket's objects lie as files.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.root.path().join(BUCKET)
    }

    /// The names of the bucket's objects under a prefix, sorted.
    #[must_use]
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        names(&self.directory().join(prefix))
    }

    /// Parts of uploads that are not completed yet.
    #[must_use]
    pub fn parts(&self) -> usize {
        names(self.root.path()).iter().filter(|name| name.contains(".part-")).count()
    }

    /// Uploads in parts that were neither completed nor aborted.
    #[must_use]
    pub fn uploads(&self) -> usize {
        names(self.root.path()).iter().filter(|name| name.starts_with(".upload-")).count()
    }
}

impl Served {
    /// To whoever signs with [`KEY`] and [`SECRET`].
    pub async fn start(store: impl S3) -> Self {
        let mut service = S3ServiceBuilder::new(store);
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    let http = Builder::new(TokioExecutor::new());
                    // A client that hangs up is what some tests are about.
                    let _ = http.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { endpoint, serving }
    }

    /// The keys of `[backup.options]` with which an agent gets in.
    #[must_use]
    pub fn options(&self) -> String {
        format!(
            "endpoint = \"{}\"\nallow_http = true\nregion = \"us-east-1\"\naccess_key_id = \"{KEY}\"\nsecret_access_key = \"{SECRET}\"\n",
            self.endpoint
        )
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}
