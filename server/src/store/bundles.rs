//! The files of migrations, kept by their digest: deployments that share a migration share its files.

use std::collections::BTreeMap;

use stopover_model::digest::Digest;

use super::db::{Tx, sql};
use super::error::{Cause, attempt};
use super::{Bundle, Store, StoreError};

impl Store {
    /// The files of the migration with this digest.
    pub async fn bundle(&self, digest: &Digest) -> Result<Option<BTreeMap<String, Vec<u8>>>, StoreError> {
        let query = sql("SELECT name, content FROM bundle_files WHERE digest = $1").bind(digest.to_string());
        let rows = self.db.read(query).await;
        rows.and_then(|rows| {
            let files: BTreeMap<_, _> = rows
                .iter()
                .map(|row| Ok((row.text("name")?, row.bytes("content")?)))
                .collect::<Result<_, Cause>>()?;
            Ok((!files.is_empty()).then_some(files))
        })
        .map_err(attempt(format_args!("read the files of migration {}", digest.short())))
    }
}

pub(super) async fn insert(tx: &mut Tx, bundles: &[Bundle<'_>]) -> Result<(), Cause> {
    let mut bundles = bundles.to_vec();
    // Two deployments that bring the same new migrations must not wait for each other in a circle.
    bundles.sort_by_key(|bundle| bundle.digest);
    for Bundle { digest, files } in bundles {
        for (name, content) in files {
            let query = sql("INSERT INTO bundle_files (digest, name, content) VALUES ($1, $2, $3) \
                             ON CONFLICT DO NOTHING")
            .bind(digest.to_string())
            .bind(name.as_str())
            .bind(content.as_slice());
            tx.execute(query).await?;
        }
    }
    Ok(())
}
