//! Every rule with what it is about: the one table of what is on, what is off, and why.
//!
//! squawk assumes a tool that runs a file as it stands. What Stopover's engine does by itself, and what it refuses before
//! anything runs, needs no rule; those rows say so and are off until somebody names them.

use std::borrow::Cow;
use std::sync::LazyLock;

use squawk_linter::Rule as Squawk;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Cow<'static, str>,
    pub(crate) finds: &'static str,
    pub(crate) concern: Concern,
    pub(crate) off: Option<&'static str>,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Squawk(Squawk),
    Ours,
}

/// Whom it concerns, which says where it makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concern {
    /// The rows of a table, or those who wait for its lock. A table that the same script created has neither.
    Rows,
    /// Programs that know the schema as it was. A way back gives them what they knew, and a new table has none.
    Clients,
    /// How a schema is best written. A way back writes it as it was.
    Style,
    Anything,
}

pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    OURS.iter().copied().chain(SQUAWKS.iter())
}

const OURS: [&Entry; 10] = [
    &UPDATE_WITHOUT_WHERE,
    &DELETE_WITHOUT_WHERE,
    &BACKFILL_WITHOUT_NEED,
    &ADD_COLUMN_REWRITES,
    &SET_NOT_NULL_SCANS,
    &LOCK_HELD_WHILE_SLOW,
    &RERUN_NOT_DECLARED,
    &TIMEOUT_WITHOUT_EFFECT,
    &ROLLBACK_LOSES_DATA,
    &UNKNOWN_IGNORE,
];

const fn ours(name: &'static str, concern: Concern, finds: &'static str) -> Entry {
    Entry { name: Cow::Borrowed(name), finds, concern, off: None, origin: Origin::Ours }
}

pub(crate) static UPDATE_WITHOUT_WHERE: Entry = ours(
    "stopover/update-without-where",
    Concern::Rows,
    "an UPDATE of every row: locks and rewrites the whole table in one go",
);
pub(crate) static DELETE_WITHOUT_WHERE: Entry =
    ours("stopover/delete-without-where", Concern::Rows, "a DELETE of every row, row by row and in one go");
pub(crate) static BACKFILL_WITHOUT_NEED: Entry = ours(
    "stopover/backfill-without-need",
    Concern::Rows,
    "batches that give a column which is new one value, as its default would at once",
);
pub(crate) static ADD_COLUMN_REWRITES: Entry = ours(
    "stopover/add-column-rewrites",
    Concern::Rows,
    "a new column whose value differs from row to row, so that the table is rewritten",
);
pub(crate) static SET_NOT_NULL_SCANS: Entry = ours(
    "stopover/set-not-null-scans",
    Concern::Rows,
    "SET NOT NULL beside the validation of another constraint: the table is scanned all the same",
);
pub(crate) static LOCK_HELD_WHILE_SLOW: Entry = ours(
    "stopover/lock-held-while-slow",
    Concern::Rows,
    "a transaction that locks a table against everybody, and then works for long",
);
pub(crate) static RERUN_NOT_DECLARED: Entry = ours(
    "stopover/rerun-not-declared",
    Concern::Anything,
    "a block that commits by itself, without word on whether it may be run again after a crash",
);
pub(crate) static TIMEOUT_WITHOUT_EFFECT: Entry = ours(
    "stopover/timeout-without-effect",
    Concern::Anything,
    "SET lock_timeout: the stage's lock_timeout is set anew for each statement",
);
pub(crate) static ROLLBACK_LOSES_DATA: Entry = ours(
    "stopover/rollback-loses-data",
    Concern::Anything,
    "a way back that drops a column, or a table that was there before, where nothing of it is saved",
);
pub(crate) static UNKNOWN_IGNORE: Entry =
    ours("stopover/unknown-ignore", Concern::Anything, "a squawk-ignore comment that names no rule");

fn squawk(rule: Squawk, concern: Concern, finds: &'static str) -> Entry {
    Entry { name: Cow::Owned(rule.to_string()), finds, concern, off: None, origin: Origin::Squawk(rule) }
}

fn off(rule: Squawk, finds: &'static str, why: &'static str) -> Entry {
    Entry { off: Some(why), ..squawk(rule, Concern::Anything, finds) }
}

/// squawk leaves these off as well: few want them.
fn opt_in(rule: Squawk, concern: Concern, finds: &'static str) -> Entry {
    Entry { off: Some("off by default, in squawk too"), ..squawk(rule, concern, finds) }
}

const SETS_TIMEOUTS: &str = "each statement runs under the stage's lock_timeout, and is tried again";
const CONTROLS_TRANSACTIONS: &str =
    "BEGIN and COMMIT are refused when a file is read, but for one pair around all of it";

use Concern::{Anything, Clients, Rows, Style};

/// squawk's rules, by what they concern.
static SQUAWKS: LazyLock<Vec<Entry>> =
    LazyLock::new(|| [on(), off_here(), off_in_squawk()].into_iter().flatten().collect());

fn on() -> Vec<Entry> {
    vec![
        squawk(Squawk::RequireConcurrentIndexCreation, Rows, "CREATE INDEX that blocks writers"),
        squawk(Squawk::RequireConcurrentIndexDeletion, Rows, "DROP INDEX that blocks everybody"),
        squawk(Squawk::RequireConcurrentReindex, Rows, "REINDEX that blocks everybody"),
        squawk(Squawk::RequireConcurrentPartitionDetach, Rows, "DETACH PARTITION that blocks everybody"),
        squawk(Squawk::ConstraintMissingNotValid, Rows, "a constraint that is checked while writers wait"),
        squawk(Squawk::AddingForeignKeyConstraint, Rows, "a foreign key that is checked while writers wait"),
        squawk(
            Squawk::AddingFieldWithDefault,
            Rows,
            "a volatile default or a generated column: the table is rewritten",
        ),
        squawk(Squawk::AddingNotNullableField, Rows, "SET NOT NULL, which scans the table"),
        squawk(Squawk::AddingRequiredField, Rows, "a new column that is NOT NULL without a default"),
        squawk(
            Squawk::AddingSerialPrimaryKeyField,
            Rows,
            "a primary key that is built while everybody waits",
        ),
        squawk(
            Squawk::DisallowedUniqueConstraint,
            Rows,
            "a unique constraint that is built while everybody waits",
        ),
        squawk(Squawk::ChangingColumnType, Rows, "a new type: the table is rewritten"),
        squawk(Squawk::BanTruncateCascade, Rows, "TRUNCATE that also empties other tables"),
        squawk(Squawk::BanDropColumn, Clients, "a dropped column"),
        squawk(Squawk::BanDropTable, Clients, "a dropped table"),
        squawk(Squawk::BanDropDatabase, Clients, "a dropped database"),
        squawk(Squawk::BanDropNotNull, Clients, "NULLs that programs don't expect"),
        squawk(Squawk::BanDropView, Clients, "a dropped view"),
        squawk(Squawk::BanDropFunction, Clients, "a dropped function"),
        squawk(Squawk::BanDropType, Clients, "a dropped type"),
        squawk(Squawk::BanDropDefault, Clients, "a dropped default"),
        squawk(Squawk::BanDropSchema, Clients, "a dropped schema"),
        squawk(Squawk::BanDropSequence, Clients, "a dropped sequence"),
        squawk(Squawk::BanDropDomain, Clients, "a dropped domain"),
        squawk(Squawk::BanDropConstraint, Clients, "a dropped constraint"),
        squawk(Squawk::BanDropGeneratedExpression, Clients, "a column that is no longer generated"),
        squawk(Squawk::BanDropExtension, Clients, "a dropped extension"),
        squawk(Squawk::BanSetSchema, Clients, "an object that moves to another schema"),
        squawk(Squawk::BanAlterIdentity, Clients, "a changed identity column"),
        squawk(Squawk::RenamingColumn, Clients, "a renamed column"),
        squawk(Squawk::RenamingTable, Clients, "a renamed table"),
        squawk(Squawk::RenamingObject, Clients, "another renamed object"),
        squawk(Squawk::BanDuplicateColumnAssignments, Anything, "a column that one statement sets twice"),
        squawk(Squawk::PreferBigintOverInt, Style, "an integer, which may run out of numbers"),
        squawk(Squawk::PreferBigintOverSmallint, Style, "a smallint, which may run out of numbers"),
        squawk(Squawk::PreferIdentity, Style, "serial, where GENERATED AS IDENTITY is better"),
        squawk(Squawk::PreferTextField, Style, "varchar(n), whose limit is hard to change"),
        squawk(Squawk::PreferTimestampTz, Style, "a timestamp without a time zone"),
        squawk(Squawk::BanCharField, Style, "char(n), which pads with spaces"),
        squawk(
            Squawk::BanCreateDomainWithConstraint,
            Style,
            "a domain with a constraint, which is hard to change",
        ),
        squawk(
            Squawk::BanAlterDomainWithAddConstraint,
            Rows,
            "a constraint added to a domain: every table with it is scanned",
        ),
        squawk(Squawk::RequireEnumValueOrdering, Style, "ADD VALUE without BEFORE or AFTER"),
    ]
}

fn off_here() -> Vec<Entry> {
    vec![
        off(
            Squawk::RequireTimeoutSettings,
            "no timeouts are set (the older name of the next two)",
            SETS_TIMEOUTS,
        ),
        off(Squawk::RequireLockTimeout, "no lock_timeout is set", SETS_TIMEOUTS),
        off(
            Squawk::RequireStatementTimeout,
            "no statement_timeout is set",
            "a wait for a lock is bounded by lock_timeout, and work that is under way is not thrown away",
        ),
        off(
            Squawk::PreferRobustStmts,
            "no IF [NOT] EXISTS",
            "the ledger knows what has run, and nothing runs twice; IF NOT EXISTS would take an invalid index for a good one",
        ),
        off(
            Squawk::BanConcurrentIndexCreationInTransaction,
            "CONCURRENTLY inside a transaction",
            "what says CONCURRENTLY is run outside of transactions",
        ),
        off(Squawk::TransactionNesting, "BEGIN inside a transaction", CONTROLS_TRANSACTIONS),
        off(Squawk::BanUncommittedTransaction, "BEGIN without COMMIT", CONTROLS_TRANSACTIONS),
        off(Squawk::IdentifierTooLong, "a name over 63 bytes", "it is refused when a file is read"),
        off(
            Squawk::UnusedIgnore,
            "a squawk-ignore comment that names no rule",
            "stopover/unknown-ignore says so",
        ),
        off(
            Squawk::PreferRepack,
            "VACUUM FULL and CLUSTER, where REPACK is better",
            "PostgreSQL has REPACK from version 19 on",
        ),
    ]
}

fn off_in_squawk() -> Vec<Entry> {
    vec![
        opt_in(Squawk::RequireTableSchema, Style, "a table without its schema"),
        opt_in(Squawk::BanDropTrigger, Clients, "a dropped trigger"),
        opt_in(Squawk::BanDropIndex, Clients, "a dropped index"),
        opt_in(Squawk::BanDropPolicy, Clients, "a dropped policy"),
        opt_in(Squawk::BanSetDefault, Clients, "a changed default"),
        opt_in(Squawk::BanDisableTrigger, Clients, "a disabled trigger"),
        opt_in(Squawk::BanReplicaIdentity, Clients, "a changed publication or replica identity"),
        opt_in(Squawk::BanRevoke, Clients, "a revoked privilege"),
        opt_in(Squawk::BanReplaceViewFunction, Clients, "a replaced view or function"),
        opt_in(Squawk::BanAlterGeneratedExpression, Clients, "a changed generated column"),
        opt_in(Squawk::BanAlterPolicyCondition, Clients, "a policy's changed condition"),
        opt_in(Squawk::BanAlterPolicyRoles, Clients, "a policy's changed roles"),
        opt_in(Squawk::BanCreatePolicy, Clients, "a new policy"),
        opt_in(Squawk::BanAlterFunctionOptions, Clients, "a function's changed options"),
        opt_in(Squawk::BanAlterViewOptions, Clients, "a view's changed options"),
        opt_in(Squawk::BanAlterRoleOptions, Clients, "a role's changed options"),
        opt_in(Squawk::BanAlterDatabaseOptions, Clients, "a database's changed options"),
        opt_in(Squawk::BanAlterSystemOptions, Clients, "the server's changed configuration"),
        opt_in(Squawk::BanAlterRowLevelSecurity, Clients, "row level security switched on or off"),
        opt_in(Squawk::BanAlterExtension, Clients, "a changed extension"),
        opt_in(
            Squawk::BanDetachInheritance,
            Clients,
            "a table that is no longer another's child or partition",
        ),
        opt_in(Squawk::BanAlterSequenceValues, Clients, "a sequence's changed values"),
        opt_in(Squawk::BanNewWriteRestriction, Clients, "a constraint that writers don't know"),
        opt_in(Squawk::BanAddEnumValue, Clients, "an enum value that readers don't know"),
        opt_in(Squawk::BanAddCompositeAttribute, Clients, "a composite type's new attribute"),
        opt_in(Squawk::BanAddColumn, Clients, "a new column, which changes SELECT *"),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_of_squawk_is_here_once_under_its_own_name() {
        for rule in enum_iterator::all::<Squawk>() {
            let found: Vec<_> = SQUAWKS.iter().filter(|e| e.origin == Origin::Squawk(rule)).collect();
            assert_eq!(found.len(), 1, "{rule}");
            assert!(!rule.is_opt_in() || found[0].off.is_some(), "{rule} is off in squawk");
        }
        let names: BTreeSet<_> = entries().map(|e| e.name.as_ref()).collect();
        assert_eq!(names.len(), entries().count());
    }

    #[test]
    fn ours_are_told_by_their_prefix() {
        assert!(OURS.iter().all(|e| e.name.starts_with("stopover/")));
        assert!(SQUAWKS.iter().all(|e| !e.name.contains('/')));
    }
}
