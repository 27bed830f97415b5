//! The fingerprint after a script that can only have changed a few tables, without looking at all the others.
//!
//! It is the same as a whole look gives, or there is none. A script qualifies by its statements ([`Reach`]); and before its
//! COMMIT the server itself says what the transaction has written: how many rows of each catalog, by its own statistics,
//! and which relations it has changed, by the locks that every change to a relation holds to the end. Whatever is not
//! accounted for (an event trigger, a function that changes the schema, a view that depends on a table) asks for a whole
//! look.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use stopover_model::sql::{AlterAction, StatementKind};
use tokio_postgres::Row;

use super::Fingerprint;
use crate::postgres::{QueryError, Session};

/// The objects of the tables that a transaction has changed.
pub type Looked = BTreeMap<String, Seen>;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Of its definition, in full length.
    pub hash: String,
    pub definition: Option<String>,
}

/// How many rows of the catalogs this session has written, as far as it has not told the statistics yet. It tells them
/// between transactions only: two counts of one transaction compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    known: bool,
    /// Of what a table is made of.
    tables: i64,
    new_types: i64,
    /// Of anything else that is in a fingerprint, or that a definition may show.
    others: i64,
}

/// What the statements of a script can have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Rows.
    Rows,
    /// New tables, and new columns and indexes of tables with these names.
    Tables(BTreeSet<String>),
    /// Anything.
    Anything,
}

impl Reach {
    #[must_use]
    pub fn of<'a>(kinds: impl IntoIterator<Item = &'a StatementKind>) -> Self {
        kinds.into_iter().map(Self::of_one).reduce(Self::and).unwrap_or(Self::Rows)
    }

    fn of_one(kind: &StatementKind) -> Self {
        match kind {
            StatementKind::Insert { .. }
            | StatementKind::Update { .. }
            | StatementKind::Delete { .. }
            | StatementKind::Select
            | StatementKind::Copy { .. } => Self::Rows,
            StatementKind::CreateTable { table, temporary: false, .. }
            | StatementKind::CreateIndex { table, concurrently: false, .. } => {
                Self::Tables(BTreeSet::from([table.name.clone()]))
            }
            StatementKind::AlterTable { table, actions, .. }
                if actions.iter().all(|action| matches!(action, AlterAction::AddColumn { .. })) =>
            {
                Self::Tables(BTreeSet::from([table.name.clone()]))
            }
            _ => Self::Anything,
        }
    }

    /// Rows beside tables: a trigger may have changed a table as well, and nobody could tell.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Rows, Self::Rows) => Self::Rows,
            (Self::Tables(mut all), Self::Tables(more)) => {
                all.extend(more);
                Self::Tables(all)
            }
            _ => Self::Anything,
        }
    }
}

impl Counts {
    /// Counts what the session has written so far.
    pub async fn take(session: &Session) -> Result<Self, QueryError> {
        let rows = session.query(COUNTS, &[]).await?;
        let row = rows.first().ok_or_else(|| QueryError::Answer("the counts of changes".to_owned()))?;
        Ok(Self::read(row, 0))
    }

    /// From the columns of [`COUNTS`], the first of which is this one.
    pub(crate) fn read(row: &Row, first: usize) -> Self {
        Self {
            known: row.get(first),
            tables: row.get(first + 1),
            new_types: row.get(first + 2),
            others: row.get(first + 3),
        }
    }
}

/// What a transaction says of itself behind its last statement.
#[derive(Debug)]
pub struct Glance {
    counts: Counts,
    /// None: it has changed nothing.
    pub transaction: Option<i64>,
    tables: Vec<ChangedTable>,
    objects: Looked,
}

#[derive(Debug)]
struct ChangedTable {
    name: String,
    is_new: bool,
    is_plain: bool,
}

/// Asks the transaction, in one round trip, and leaves the settings for looking behind.
pub async fn glance(session: &Session, reach: &Reach) -> Result<Glance, QueryError> {
    let rows = match reach {
        Reach::Tables(_) => session.query(&AT_ONCE, &[]),
        Reach::Rows | Reach::Anything => session.query(&COUNTS_ALONE, &[]),
    };
    let (set, rows) = tokio::join!(session.query(FOR_LOOKING, &[]), rows);
    set?;
    Glance::read(&rows?)
}

/// Looks at what the transaction has changed since it was counted before. None: only a whole look can tell.
pub async fn look_locally(
    session: &Session,
    reach: &Reach,
    before: &Counts,
    known: &Fingerprint,
) -> Result<Option<Looked>, QueryError> {
    if *reach == Reach::Anything || !before.known {
        return Ok(None);
    }
    Ok(glance(session, reach).await?.accounted(reach, before, known))
}

impl Glance {
    fn read(rows: &[Row]) -> Result<Self, QueryError> {
        let (mut counted, mut tables, mut objects) = (None, Vec::new(), Looked::new());
        for row in rows {
            match row.get::<_, i32>("part") {
                COUNTED => {
                    let numbers: Vec<Option<i64>> = row.get("numbers");
                    let [Some(tables), Some(new_types), Some(others), transaction] = numbers[..] else {
                        return Err(unreadable());
                    };
                    counted =
                        Some((Counts { known: row.get("one"), tables, new_types, others }, transaction));
                }
                TABLE => tables.push(ChangedTable {
                    name: row.get("object"),
                    is_new: row.get("one"),
                    is_plain: row.get("other"),
                }),
                _ => {
                    let seen = Seen { hash: row.get("hash"), definition: row.get("definition") };
                    objects.insert(row.get("object"), seen);
                }
            }
        }
        let (counts, transaction) = counted.ok_or_else(unreadable)?;
        Ok(Self { counts, transaction, tables, objects })
    }

    /// The objects of the tables that were changed since the count before. None: only a whole look can tell.
    #[must_use]
    pub fn accounted(self, reach: &Reach, before: &Counts, known: &Fingerprint) -> Option<Looked> {
        let now = &self.counts;
        if !before.known || *reach == Reach::Anything {
            return None;
        }
        if now == before {
            return Some(Looked::new());
        }
        let Reach::Tables(names) = reach else { return None };
        let has_event_triggers = known.objects.range("event trigger ".to_owned()..).next();
        let has_event_triggers =
            has_event_triggers.is_some_and(|(object, _)| object.starts_with("event trigger "));
        if !now.known || now.others != before.others || has_event_triggers {
            return None;
        }
        let expected = |table: &ChangedTable| table.is_plain && names.contains(&table.name);
        let new = self.tables.iter().filter(|table| table.is_new).count();
        // A table brings two types: of its rows, and of arrays of them.
        let types = i64::try_from(new * 2).unwrap_or(i64::MAX);
        let all_expected = !self.tables.is_empty() && self.tables.iter().all(expected);
        (all_expected && now.new_types - before.new_types == types).then_some(self.objects)
    }
}

fn unreadable() -> QueryError {
    QueryError::Answer("what the transaction has changed".to_owned())
}

/// What is set for looking must not be in force when the COMMIT lets deferred triggers run.
pub async fn stop_looking(session: &Session) -> Result<(), QueryError> {
    session.query(&STOP_LOOKING, &[]).await.map(|_| ())
}

/// Kinds of rows in the answer to [`AT_ONCE`]; the third are objects.
const COUNTED: i32 = 0;
const TABLE: i32 = 1;

/// What was written, the tables that were changed, and their objects: the branches of the whole look that are about tables,
/// for these tables and their sequences. It has no parameters, so that its plan is made once.
static AT_ONCE: LazyLock<String> = LazyLock::new(|| {
    let whole = include_str!("../fingerprint.sql");
    let (start, _) = whole.split_once("), extension_member AS (").unwrap_or((whole, ""));
    let (_, rest) = whole.split_once("), item (object, definition) AS (").unwrap_or((whole, ""));
    let (items, end) = rest.split_once("\n)\nSELECT object").unwrap_or((rest, ""));
    let wanted = |item: &&str| ABOUT_TABLES.iter().any(|table| item.contains(table));
    let items: Vec<&str> = items.split("    UNION ALL\n").filter(wanted).collect();
    let rel = REL_OF_TABLES.replace("{changed}", "ARRAY(SELECT oid FROM changed)");
    format!(
        "{start}), changed AS MATERIALIZED ({CHANGED}\n{rel}\n), item (object, definition) AS (\n{}\n), \
         looked (object, hash, definition) AS (\nSELECT object{end}) \
         {} \
         UNION ALL SELECT {TABLE}, name, NULL, NULL, new, plain, NULL FROM changed \
         UNION ALL SELECT 2, object, hash, definition, NULL, NULL, NULL FROM looked",
        items.join("    UNION ALL\n"),
        *COUNTS_ALONE,
    )
});

static COUNTS_ALONE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {COUNTED} AS part, NULL::text AS object, NULL::text AS hash, NULL::text AS definition, known AS one, \
         NULL::boolean AS other, \
         ARRAY[tables, new_types, others, pg_catalog.txid_current_if_assigned()]::bigint[] AS numbers \
         FROM ({COUNTS}) AS counts"
    )
});

/// The whole look's `rel`, found by its number.
const REL_OF_TABLES: &str = "), rel AS (
    SELECT c.*, ns.prefix || quote_ident(c.relname) AS name
    FROM pg_catalog.pg_class c JOIN ns ON ns.oid = c.relnamespace
    WHERE c.oid = ANY ({changed} || ARRAY(SELECT objid FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_class'::regclass
                                   AND refclassid = 'pg_catalog.pg_class'::regclass AND refobjid = ANY ({changed})
                                   AND deptype IN ('a', 'i')))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass
                      AND d.objid = c.oid AND d.deptype = 'e')";

static STOP_LOOKING: LazyLock<String> = LazyLock::new(|| format!("SELECT {NO_MORE_LOOKING}"));

/// A null is the setting's default, as after SET LOCAL ... TO DEFAULT.
pub(crate) const NO_MORE_LOOKING: &str = "pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), \
    pg_catalog.set_config('enable_seqscan', NULL, true), pg_catalog.set_config('enable_hashjoin', NULL, true), \
    pg_catalog.set_config('enable_mergejoin', NULL, true), pg_catalog.set_config('jit', NULL, true)";

/// In the agent's own role and with its own settings, whatever the script has left. Few objects are looked for by their
/// numbers, however large the schema, and that plan is kept for what comes.
const FOR_LOOKING: &str = "SELECT pg_catalog.set_config('role', NULL, true), pg_catalog.set_config('search_path', '', true), \
    pg_catalog.set_config('statement_timeout', '0', true), pg_catalog.set_config('lock_timeout', '5000', true), \
    pg_catalog.set_config('enable_seqscan', 'off', true), pg_catalog.set_config('enable_hashjoin', 'off', true), \
    pg_catalog.set_config('enable_mergejoin', 'off', true), pg_catalog.set_config('jit', 'off', true)";

const ABOUT_TABLES: [&str; 5] = [
    "'table ' END || name",
    "'sequence ' ||",
    "'column ' ||",
    "'index ' ||",
    "FROM pg_catalog.pg_constraint c JOIN rel",
];

/// Of what the session has written: `known`, `tables`, `new_types`, `others`.
pub(crate) const COUNTS: &str = "
SELECT pg_catalog.current_setting('track_counts') = 'on' AS known,
       coalesce(sum(changed) FILTER (WHERE part = 't'), 0)::bigint AS tables,
       coalesce(sum(inserted) FILTER (WHERE catalog = 'pg_catalog.pg_type'::regclass), 0)::bigint AS new_types,
       coalesce(sum(changed) FILTER (WHERE part = 'o'), 0)::bigint
           + coalesce(sum(changed - inserted) FILTER (WHERE catalog = 'pg_catalog.pg_type'::regclass), 0)::bigint
           + coalesce(sum(deleted), 0)::bigint AS others
FROM (SELECT part, catalog, pg_catalog.pg_stat_get_xact_tuples_inserted(catalog) AS inserted,
             pg_catalog.pg_stat_get_xact_tuples_deleted(catalog) AS deleted,
             pg_catalog.pg_stat_get_xact_tuples_inserted(catalog)
                 + pg_catalog.pg_stat_get_xact_tuples_updated(catalog)
                 + pg_catalog.pg_stat_get_xact_tuples_deleted(catalog) AS changed
      FROM (VALUES ('t', 1259::oid), ('t', 1249), ('t', 2604), ('t', 2610), ('t', 2606), ('t', 1247), ('t', 2224),
                   ('o', 2615), ('o', 1255), ('o', 2618), ('o', 2620), ('o', 3256), ('o', 2600), ('o', 3501),
                   ('o', 3541), ('o', 3381), ('o', 3079), ('o', 3466), ('o', 2611), ('o', 2609), ('o', 3456),
                   ('o', 2616), ('o', 2617), ('o', 2612), ('o', 3350), ('o', 2601)) AS c (part, catalog)) AS counted";

/// The tables to which anything belongs that the transaction has changed: every change to a relation takes one of these
/// locks on it. Plain: nothing else shows them or follows their changes. Each OFFSET 0 keeps the locks first: a plan that was
/// made while the schema was small must not ask for them once for each of its relations when it has grown.
const CHANGED: &str = "
SELECT t.oid, t.relname::text AS name,
       EXISTS (SELECT FROM pg_catalog.pg_type y WHERE y.oid = t.reltype
               AND y.xmin::text::bigint = pg_catalog.txid_current() % 4294967296) AS new,
       t.relkind = 'r' AND t.relpersistence <> 't' AND NOT t.relispartition AND NOT t.relhassubclass
           AND t.relnamespace::regnamespace::text NOT IN ('stopover', 'stopover_saved')
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute WHERE attrelid = t.oid AND attisdropped)
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid = 'pg_catalog.pg_class'::regclass
                           AND refobjid = t.oid AND classid NOT IN ('pg_catalog.pg_class'::regclass,
                               'pg_catalog.pg_attrdef'::regclass, 'pg_catalog.pg_constraint'::regclass,
                               'pg_catalog.pg_type'::regclass)) AS plain
FROM (
    SELECT DISTINCT own.oid
    FROM (SELECT relation FROM pg_catalog.pg_locks
          WHERE locktype = 'relation' AND pid = pg_catalog.pg_backend_pid() AND granted
            AND mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                         'AccessExclusiveLock') OFFSET 0) l
    CROSS JOIN LATERAL (
        SELECT coalesce(i.indrelid, d.refobjid, c.oid) AS oid
        FROM pg_catalog.pg_class c
        LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
        LEFT JOIN pg_catalog.pg_depend d ON c.relkind = 'S' AND d.classid = 'pg_catalog.pg_class'::regclass
            AND d.objid = c.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
        WHERE c.oid = l.relation AND c.relkind <> 't' AND c.oid >= 16384 OFFSET 0) own
    ) AS written
CROSS JOIN LATERAL (SELECT * FROM pg_catalog.pg_class WHERE oid = written.oid OFFSET 0) t
WHERE t.relkind <> 't' AND t.relnamespace <> 'pg_toast'::regnamespace";
