//! How much is free on the disks that the database writes to.
//!
//! PostgreSQL tells that to no client, so the file system is asked, where the agent works on the same machine: it connects by
//! a socket, or agent.toml says where the data directory is. Nothing is opened there. What can't be seen is no error.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use stopover_model::disk::{Disk, Disks};

use crate::backup::free;
use crate::postgres::{Database, QueryError, Session};

pub(super) async fn look(database: &Database, session: &Session, touched: &[u32]) -> Disks {
    let copies_here = database.scratch().is_none();
    let wal_room = wal_room(session).await;
    let found = match seen(database, session, touched).await {
        Ok(seen) => Disks { seen, ..Disks::default() },
        Err(unseen) => Disks { unseen, ..Disks::default() },
    };
    Disks { wal_room, copies_here, ..found }
}

/// The disks; else why they can't be seen, with the way out.
async fn seen(database: &Database, session: &Session, touched: &[u32]) -> Result<Vec<Disk>, String> {
    let root = match database.data_path() {
        Some(path) => path.to_owned(),
        None if database.is_local() => data_directory(session).await?,
        None => {
            return Err(
                "the agent reaches it over the network; where both are on one machine, data_path of its \
                        [[database]] in agent.toml names PostgreSQL's data directory"
                    .to_owned(),
            );
        }
    };
    let spaces = tablespaces(session, touched)
        .await
        .map_err(|error| format!("its tablespaces could not be read: {error}"))?;
    let mut disks = Mounted::default();
    for space in spaces {
        let path =
            if space.location.as_os_str().is_empty() { root.clone() } else { root.join(&space.location) };
        let disk = disks.of(&path).map_err(|error| hidden(&path, &error))?;
        disk.data |= space.is_default;
        disk.relations.extend(space.relations);
    }
    // Who is not PostgreSQL's own user can't look into its directory; the log lies in there as a rule.
    let log = root.join("pg_wal");
    let log = if std::fs::metadata(&log).is_ok() { log } else { root };
    disks.of(&log).map_err(|error| hidden(&log, &error))?.wal = true;
    Ok(disks.all.into_iter().map(|(_, disk)| disk).collect())
}

fn hidden(path: &Path, error: &io::Error) -> String {
    format!(
        "how much is free in {} could not be asked ({error}); data_path of its [[database]] in agent.toml says where the data \
         directory is on the agent's machine",
        path.display()
    )
}

/// By their devices, in the order in which they were met.
#[derive(Default)]
struct Mounted {
    all: Vec<(u64, Disk)>,
}

impl Mounted {
    fn of(&mut self, path: &Path) -> io::Result<&mut Disk> {
        let device = std::fs::metadata(path)?.dev();
        let known = self.all.iter().position(|(known, _)| *known == device);
        let at = known.unwrap_or(self.all.len());
        if known.is_none() {
            let disk = Disk { path: path.display().to_string(), free: free(path)?, ..Disk::default() };
            self.all.push((device, disk));
        }
        Ok(&mut self.all[at].1)
    }
}

async fn data_directory(session: &Session) -> Result<PathBuf, String> {
    let row = session.client().query_one("SELECT pg_catalog.current_setting('data_directory')", &[]).await;
    let row = row.map_err(|error| {
        let error = QueryError::from(error);
        format!(
            "its role may not ask where the data directory is ({error}); GRANT pg_monitor TO it, or say it with data_path of \
             its [[database]] in agent.toml"
        )
    })?;
    Ok(PathBuf::from(row.get::<_, String>(0)))
}

struct Tablespace {
    /// Empty: in the data directory.
    location: PathBuf,
    is_default: bool,
    relations: Vec<String>,
}

/// The database's own, and others that touched relations or their indexes are in.
async fn tablespaces(session: &Session, touched: &[u32]) -> Result<Vec<Tablespace>, QueryError> {
    let rows = session.client().query(TABLESPACES, &[&touched]).await?;
    let space = |row: &tokio_postgres::Row| Tablespace {
        location: PathBuf::from(row.get::<_, String>("location")),
        is_default: row.get("is_default"),
        relations: row.get("relations"),
    };
    Ok(rows.iter().map(space).collect())
}

const TABLESPACES: &str = "
SELECT pg_catalog.pg_tablespace_location(d.dattablespace) AS location, true AS is_default,
       '{}'::pg_catalog.text[] AS relations
FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
UNION ALL
SELECT pg_catalog.pg_tablespace_location(c.reltablespace), false,
       pg_catalog.array_agg(pg_catalog.format('%I.%I', n.nspname, c.relname) ORDER BY c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1::pg_catalog.oid[]) AND c.reltablespace <> 0
GROUP BY c.reltablespace";

/// How much larger the write-ahead log may grow before its files are used again; all of its bound where it can't be seen how
/// large it is.
async fn wal_room(session: &Session) -> u64 {
    let bound = "SELECT pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_wal_size'))";
    let there = "SELECT pg_catalog.sum(size)::pg_catalog.int8 FROM pg_catalog.pg_ls_waldir()";
    let ask = async |sql: &str| {
        let row = session.client().query_one(sql, &[]).await.ok()?;
        row.get::<_, Option<i64>>(0).and_then(|bytes| u64::try_from(bytes).ok())
    };
    let bound = ask(bound).await.unwrap_or(u64::MAX);
    bound.saturating_sub(ask(there).await.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use stopover_cluster::{Cluster, TestDatabase};
    use stopover_model::event::StepKind;

    use super::*;
    use crate::postgres::{DatabaseConfig, Purpose, SessionName};
    use crate::testing::{context, database_config};

    async fn looked(config: &DatabaseConfig, touched: &[u32]) -> Disks {
        let database = Database::new(config).unwrap();
        let purpose = Purpose::reading(&SessionName::of(&context("host=/ dbname=x", StepKind::Inspect)));
        let session = database.connect(&purpose).await.unwrap();
        look(&database, &session, touched).await
    }

    #[tokio::test]
    async fn disks_are_seen_by_a_socket_or_where_agent_toml_says_and_else_it_is_said_why() {
        let cluster = Cluster::shared().await.unwrap();
        let database = TestDatabase::create(&cluster).await.unwrap();
        let far = database_config(database.url());
        let found = looked(&far, &[]).await;
        assert!(found.seen.is_empty() && found.unseen.contains("data_path"), "{found:?}");
        assert!(found.wal_room > 0 && found.copies_here);

        let near = DatabaseConfig { data_path: Some(cluster.data_directory()), ..far.clone() };
        let found = looked(&near, &[]).await;
        let [disk] = &found.seen[..] else { panic!("{found:?}") };
        assert!(disk.data && disk.wal && disk.free > 0, "{found:?}");
        assert_eq!(disk.path, cluster.data_directory().display().to_string());

        let socket = format!(
            "host={} port={} user=postgres password={} dbname={}",
            cluster.socket_directory().display(),
            cluster.port(),
            cluster.password(),
            database.name()
        );
        let by_socket = looked(&database_config(&socket), &[]).await;
        assert_eq!(by_socket.seen.len(), 1, "{by_socket:?}");
        assert_eq!(by_socket.seen[0].path, disk.path);

        let wrong = DatabaseConfig { data_path: Some("/nowhere/at/all".into()), ..far };
        let found = looked(&wrong, &[]).await;
        assert!(found.seen.is_empty() && found.unseen.contains("free in /nowhere/at/all"), "{found:?}");
    }

    #[tokio::test]
    async fn a_table_in_a_tablespace_of_its_own_is_told() {
        let cluster = Cluster::builder().start().await.unwrap();
        let database = TestDatabase::create(&cluster).await.unwrap();
        let client = database.client().await.unwrap();
        client.batch_execute("SET allow_in_place_tablespaces = on").await.unwrap();
        client.batch_execute("CREATE TABLESPACE fast LOCATION ''").await.unwrap();
        client
            .batch_execute("CREATE TABLE \"Big\" (a int) TABLESPACE fast; CREATE TABLE small (a int)")
            .await
            .unwrap();
        let oids = "SELECT array_agg(oid) FROM pg_class WHERE relname IN ('Big', 'small')";
        let touched: Vec<u32> = client.query_one(oids, &[]).await.unwrap().get(0);
        let near =
            DatabaseConfig { data_path: Some(cluster.data_directory()), ..database_config(database.url()) };
        let found = looked(&near, &touched).await;
        let relations: Vec<_> = found.seen.iter().flat_map(|disk| &disk.relations).collect();
        assert_eq!(relations, ["public.\"Big\""], "{found:?}");
    }
}
