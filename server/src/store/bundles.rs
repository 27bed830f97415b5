//! The files of migrations, kept by their digest: deployments that share a migration share its files.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use stopover_model::digest::Digest;

use super::db::{Tx, places, sql};
use super::error::{Cause, attempt};
use super::{Bundle, Store, StoreError};

/// Of one migration, by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Digests that are asked for at a time, and files that are written at a time.
const AT_A_TIME: usize = 64;

impl Store {
    /// The files of those migrations that are here.
    pub async fn bundles(&self, digests: &[Digest]) -> Result<BTreeMap<Digest, Files>, StoreError> {
        let read = self.read_bundles(digests).await;
        read.map_err(attempt(format_args!("read the files of {} migrations", digests.len())))
    }

    async fn read_bundles(&self, digests: &[Digest]) -> Result<BTreeMap<Digest, Files>, Cause> {
        let mut bundles: BTreeMap<Digest, Files> = BTreeMap::new();
        for some in digests.chunks(AT_A_TIME) {
            let (text, count) = if some.len() == 1 { (FILES_OF_ONE, 1) } else { (FILES.as_str(), AT_A_TIME) };
            let mut query = sql(text);
            // The last one fills the places that are left.
            for place in 0..count {
                query = query.bind(some[place.min(some.len() - 1)].to_string());
            }
            for row in self.db.read(query).await? {
                let files = bundles.entry(row.parsed("digest")?).or_default();
                files.insert(row.text("name")?, row.bytes("content")?);
            }
        }
        Ok(bundles)
    }
}

const FILES_OF_ONE: &str = "SELECT digest, name, content FROM bundle_files WHERE digest = $1";

static FILES: LazyLock<String> = LazyLock::new(|| {
    format!("SELECT digest, name, content FROM bundle_files WHERE digest IN {}", places(1, AT_A_TIME))
});

pub(super) async fn insert(tx: &mut Tx, bundles: &[Bundle<'_>]) -> Result<(), Cause> {
    let mut bundles = bundles.to_vec();
    // Two deployments that bring the same new migrations must not wait for each other in a circle.
    bundles.sort_by_key(|bundle| bundle.digest);
    let mut files = Vec::with_capacity(bundles.len());
    for Bundle { digest, files: of_one } in bundles {
        files.extend(of_one.iter().map(|(name, content)| (digest, name, content)));
    }
    for some in files.chunks(AT_A_TIME) {
        let Some(text) = some.len().checked_sub(1).and_then(|last| INSERTS.get(last)) else { continue };
        let mut query = sql(text);
        for (digest, name, content) in some {
            query = query.bind(digest.to_string()).bind(name.as_str()).bind(content.as_slice());
        }
        tx.execute(query).await?;
    }
    Ok(())
}

/// Of one row, of two, and so on.
static INSERTS: LazyLock<[String; AT_A_TIME]> = LazyLock::new(|| {
    std::array::from_fn(|last| {
        let rows = places(last + 1, 3);
        format!("INSERT INTO bundle_files (digest, name, content) VALUES {rows} ON CONFLICT DO NOTHING")
    })
});
