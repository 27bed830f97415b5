//! What a statement is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::Name;

/// What a statement does, as far as running it safely depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StatementKind {
    Begin,
    Commit,
    Rollback,
    /// SAVEPOINT, RELEASE, ROLLBACK TO.
    Savepoint,
    /// PREPARE TRANSACTION.
    PrepareTransaction,
    /// COMMIT PREPARED and ROLLBACK PREPARED.
    FinishPrepared,
    CreateIndex {
        concurrently: bool,
        unique: bool,
        if_not_exists: bool,
        /// Absent where the server makes one up. An index lives in its table's schema.
        name: Option<String>,
        table: Name,
    },
    DropIndex {
        concurrently: bool,
        if_exists: bool,
        names: Vec<Name>,
    },
    Reindex {
        concurrently: bool,
        target: ReindexTarget,
        name: Option<Name>,
    },
    AlterTable {
        table: Name,
        if_exists: bool,
        actions: Vec<AlterAction>,
    },
    DetachPartitionConcurrently {
        table: Name,
        partition: Name,
    },
    CreateTable {
        table: Name,
        if_not_exists: bool,
        temporary: bool,
        on_commit_drop: bool,
    },
    DropTable {
        if_exists: bool,
        tables: Vec<Name>,
    },
    Truncate {
        tables: Vec<Name>,
    },
    CreateType {
        name: Name,
    },
    AlterTypeAddValue {
        name: Name,
        value: String,
        if_not_exists: bool,
    },
    RefreshMaterializedView {
        concurrently: bool,
        name: Name,
    },
    Update {
        table: Name,
        has_where: bool,
    },
    Delete {
        table: Name,
        has_where: bool,
    },
    Insert {
        table: Name,
    },
    Copy {
        /// Absent for `COPY (query) TO`.
        table: Option<Name>,
        source: CopySource,
    },
    Select,
    Lock {
        tables: Vec<Name>,
    },
    Set {
        /// In lower case, such as `lock_timeout` or `session characteristics`.
        setting: String,
        local: bool,
    },
    Do {
        /// In lower case; `plpgsql` where none is written.
        language: String,
    },
    Call {
        procedure: Name,
    },
    Vacuum,
    Cluster {
        /// Absent where every clustered table of the database is meant.
        table: Option<Name>,
    },
    AlterSystem,
    CreateDatabase {
        name: String,
    },
    DropDatabase {
        name: String,
    },
    AlterDatabaseSetTablespace,
    CreateTablespace {
        name: String,
    },
    DropTablespace {
        name: String,
    },
    CreateSubscription {
        name: String,
        /// Whether it also makes a replication slot at the publisher, as it does by default.
        creates_slot: bool,
    },
    AlterSubscription {
        /// Whether it changes something outside this database: a refresh, or the slot's own properties.
        reaches_publisher: bool,
    },
    DropSubscription {
        name: String,
    },
    DiscardAll,
    /// Anything else, by its first words in upper case.
    Other {
        words: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReindexTarget {
    Index,
    Table,
    Schema,
    Database,
    System,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopySource {
    /// Data that the client sends.
    Stdin,
    /// A file or program of the server's machine.
    Server,
    /// None: the data goes out.
    Out,
}

/// One of the comma-separated actions of ALTER TABLE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum AlterAction {
    AddColumn {
        column: String,
        if_not_exists: bool,
        not_null: bool,
        /// The expression as written.
        default: Option<String>,
    },
    DropColumn {
        column: String,
        if_exists: bool,
    },
    SetNotNull {
        column: String,
    },
    DropNotNull {
        column: String,
    },
    SetDefault {
        column: String,
    },
    DropDefault {
        column: String,
    },
    SetType {
        column: String,
    },
    AddConstraint {
        /// Absent where the server makes one up.
        name: Option<String>,
        not_valid: bool,
        using_index: bool,
    },
    ValidateConstraint {
        name: String,
    },
    DropConstraint {
        name: String,
        if_exists: bool,
    },
    RenameColumn {
        from: String,
        to: String,
    },
    RenameTo {
        to: String,
    },
    AttachPartition {
        partition: Name,
    },
    DetachPartition {
        partition: Name,
        finalize: bool,
    },
    /// Anything else, by its first words in upper case.
    Other {
        words: String,
    },
}

/// The command as a person would call it, such as `CREATE INDEX CONCURRENTLY`.
impl fmt::Display for StatementKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (command, concurrently) = self.command();
        f.write_str(command)?;
        if concurrently { f.write_str(" CONCURRENTLY") } else { Ok(()) }
    }
}

impl StatementKind {
    fn command(&self) -> (&str, bool) {
        let plain = match self {
            Self::CreateIndex { concurrently, unique: true, .. } => {
                return ("CREATE UNIQUE INDEX", *concurrently);
            }
            Self::CreateIndex { concurrently, .. } => return ("CREATE INDEX", *concurrently),
            Self::DropIndex { concurrently, .. } => return ("DROP INDEX", *concurrently),
            Self::Reindex { concurrently, .. } => return ("REINDEX", *concurrently),
            Self::RefreshMaterializedView { concurrently, .. } => {
                return ("REFRESH MATERIALIZED VIEW", *concurrently);
            }
            Self::DetachPartitionConcurrently { .. } => return ("ALTER TABLE ... DETACH PARTITION", true),
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
            Self::Savepoint => "SAVEPOINT",
            Self::PrepareTransaction => "PREPARE TRANSACTION",
            Self::FinishPrepared => "COMMIT or ROLLBACK PREPARED",
            Self::AlterTable { .. } => "ALTER TABLE",
            Self::CreateTable { .. } => "CREATE TABLE",
            Self::DropTable { .. } => "DROP TABLE",
            Self::Truncate { .. } => "TRUNCATE",
            Self::CreateType { .. } => "CREATE TYPE",
            Self::AlterTypeAddValue { .. } => "ALTER TYPE ... ADD VALUE",
            Self::Update { .. } => "UPDATE",
            Self::Delete { .. } => "DELETE",
            Self::Insert { .. } => "INSERT",
            Self::Copy { .. } => "COPY",
            Self::Select => "SELECT",
            Self::Lock { .. } => "LOCK TABLE",
            Self::Set { .. } => "SET",
            Self::Do { .. } => "DO",
            Self::Call { .. } => "CALL",
            Self::Vacuum => "VACUUM",
            Self::Cluster { .. } => "CLUSTER",
            Self::AlterSystem => "ALTER SYSTEM",
            Self::CreateDatabase { .. } => "CREATE DATABASE",
            Self::DropDatabase { .. } => "DROP DATABASE",
            Self::AlterDatabaseSetTablespace => "ALTER DATABASE ... SET TABLESPACE",
            Self::CreateTablespace { .. } => "CREATE TABLESPACE",
            Self::DropTablespace { .. } => "DROP TABLESPACE",
            Self::CreateSubscription { .. } => "CREATE SUBSCRIPTION",
            Self::AlterSubscription { .. } => "ALTER SUBSCRIPTION",
            Self::DropSubscription { .. } => "DROP SUBSCRIPTION",
            Self::DiscardAll => "DISCARD ALL",
            Self::Other { words } => words,
        };
        (plain, false)
    }
}
