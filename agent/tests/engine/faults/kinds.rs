//! The scripts of the matrix: what they find, what they do, by which messages their points are known, and what must be seen.

use super::Point;

#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// In which test its server dies.
    pub(super) group: usize,
    /// Beside [`COMMON`].
    pub(super) setup: &'static str,
    pub(super) up: &'static str,
    /// Where there is one, the migration is applied first, and what is cut off is its rollback.
    pub(super) down: Option<&'static str>,
    pub(super) manifest: &'static str,
    /// It runs on a session that another migration has left.
    pub(super) follows: bool,
    pub(super) messages: Messages,
    /// The last that it says before its report, by its text.
    pub(super) report: &'static str,
    pub(super) slow: Slow,
    /// The query that tells a person whether the statement took effect, where the program can't see it.
    pub(super) truth: Option<&'static str>,
    /// Queries, and what they give once the effects are there exactly once.
    pub(super) effects: &'static [(&'static str, &'static str)],
}

/// Texts by which messages on the wire are known.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) intent: &'static str,
    pub(super) statement: &'static str,
    /// The ledger's write that says that the statement is done.
    pub(super) record: &'static str,
}

/// How the statement is held up in its midst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slow {
    /// It is over too soon.
    Never,
    /// It calls `pause()`.
    Pauses,
    /// It waits for a transaction that has done this.
    Behind(&'static str),
}

/// In every database of the matrix. `pause()` takes as long as the table `pause` says.
pub(super) const COMMON: &str = "CREATE TABLE effect (what text);
    CREATE TABLE pause (seconds float8);
    INSERT INTO pause VALUES (0);
    CREATE FUNCTION pause() RETURNS void LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_sleep(seconds) FROM pause WHERE seconds > 0; END';
    CREATE TABLE t (a int PRIMARY KEY, b text, done boolean, changes int NOT NULL DEFAULT 0);
    CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN NEW.changes := OLD.changes + 1; RETURN NEW; END';
    CREATE TRIGGER count_change BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION count_change();
    INSERT INTO t (a) SELECT generate_series(1, 200);";

const WHOLE: Messages = Messages {
    intent: "INSERT INTO stopover.migration",
    statement: "INSERT INTO effect",
    record: "INSERT INTO stopover.history",
};

const OWN: Messages = Messages {
    intent: "INSERT INTO stopover.statement",
    statement: "",
    record: "UPDATE stopover.statement SET state = 'done'",
};

/// What is kept: of which objects, how many rows the manifest says, and how many there are.
const SAVED: &str = "SELECT string_agg(what || ' ' || table_name || ' ' || rows || ' ' || \
    (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM stopover_saved.%I', holder), false, true, '')))[1]::text, \
    ', ' ORDER BY table_name) FROM stopover_saved.manifest";
const GONE: &str = "SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'v'";
const EFFECT: &str = "SELECT count(*) FROM effect WHERE what = 'it'";
const AROUND: &str = "SELECT string_agg(what, ',') FROM effect";
const INDEXES: &str = "SELECT string_agg(indexrelid::regclass::text || ' ' || indisvalid || ' ' || indisready, ', ' \
    ORDER BY indexrelid::regclass::text) FROM pg_index WHERE indrelid = 't'::regclass";
const WRITER: Slow = Slow::Behind("INSERT INTO t VALUES (0)");

const PLAIN: Kind = Kind {
    name: "",
    group: 0,
    setup: "",
    up: "",
    down: None,
    manifest: "",
    follows: false,
    messages: WHOLE,
    // A session that is kept is made new by words with it.
    report: "pg_advisory_unlock",
    slow: Slow::Never,
    truth: None,
    effects: &[],
};

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "transaction",
        up: "ALTER TABLE t ADD c int DEFAULT 1;\nUPDATE t SET c = 2;\nINSERT INTO effect SELECT 'it' FROM pause();",
        slow: Slow::Pauses,
        effects: &[(EFFECT, "1"), ("SELECT count(*) FROM t WHERE c = 2 AND changes = 1", "200")],
        ..PLAIN
    },
    Kind {
        name: "transaction_behind_another",
        group: 1,
        follows: true,
        up: "INSERT INTO effect SELECT 'it' FROM pause();",
        messages: Messages { intent: "UPDATE stopover.fence", ..WHOLE },
        slow: Slow::Pauses,
        effects: &[(EFFECT, "1")],
        ..PLAIN
    },
    Kind {
        name: "tables_behind_another",
        group: 2,
        follows: true,
        setup: "CREATE TABLE plain AS SELECT a FROM t",
        up: "ALTER TABLE plain ADD c int DEFAULT 1;\nCREATE TABLE made AS SELECT 'it' FROM pause();",
        messages: Messages { intent: "UPDATE stopover.fence", statement: "CREATE TABLE made", ..WHOLE },
        slow: Slow::Pauses,
        effects: &[("SELECT count(*) FROM made", "1"), ("SELECT count(*) FROM plain WHERE c = 1", "200")],
        ..PLAIN
    },
    Kind {
        name: "new_enum_value",
        setup: "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE moods (m mood)",
        up: "ALTER TYPE mood ADD VALUE 'b';\nINSERT INTO moods VALUES ('b');",
        messages: Messages { statement: "ALTER TYPE", record: "INSERT INTO stopover.statement", ..WHOLE },
        effects: &[
            ("SELECT array_to_string(enum_range(NULL::mood), ',')", "a,b"),
            ("SELECT string_agg(m::text, ',') FROM moods", "b"),
        ],
        ..PLAIN
    },
    Kind {
        name: "use_of_a_new_enum_value",
        setup: "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE moods (m mood)",
        up: "ALTER TYPE mood ADD VALUE 'b';\nINSERT INTO moods SELECT 'b' FROM pause();",
        messages: Messages {
            intent: "stopover.fence WHERE",
            statement: "INSERT INTO moods",
            record: "INSERT INTO moods",
        },
        slow: Slow::Pauses,
        effects: &[
            ("SELECT array_to_string(enum_range(NULL::mood), ',')", "a,b"),
            ("SELECT string_agg(m::text, ',') FROM moods", "b"),
        ],
        ..PLAIN
    },
    Kind {
        name: "create_index_concurrently",
        group: 1,
        up: "INSERT INTO effect VALUES ('before');\nCREATE INDEX CONCURRENTLY i ON t (b);\nINSERT INTO effect VALUES ('after');",
        messages: Messages { statement: "CREATE INDEX", ..OWN },
        slow: WRITER,
        effects: &[(INDEXES, "i true true, t_pkey true true"), (AROUND, "before,after")],
        ..PLAIN
    },
    Kind {
        name: "reindex_concurrently",
        group: 1,
        setup: "CREATE INDEX i ON t (b)",
        up: "INSERT INTO effect VALUES ('before');\nREINDEX TABLE CONCURRENTLY t;\nINSERT INTO effect VALUES ('after');",
        messages: Messages { statement: "REINDEX", ..OWN },
        slow: WRITER,
        effects: &[(INDEXES, "i true true, t_pkey true true"), (AROUND, "before,after")],
        ..PLAIN
    },
    Kind {
        name: "drop_index_concurrently",
        group: 1,
        setup: "CREATE INDEX i ON t (b)",
        up: "INSERT INTO effect VALUES ('before');\nDROP INDEX CONCURRENTLY i;\nINSERT INTO effect VALUES ('after');",
        messages: Messages { statement: "DROP INDEX", ..OWN },
        slow: WRITER,
        effects: &[(INDEXES, "t_pkey true true"), (AROUND, "before,after")],
        ..PLAIN
    },
    Kind {
        name: "detach_partition_concurrently",
        group: 1,
        setup: "CREATE TABLE p (a int) PARTITION BY LIST (a); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); \
                INSERT INTO p VALUES (1)",
        up: "INSERT INTO effect VALUES ('before');\nALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;\n\
             INSERT INTO effect VALUES ('after');",
        messages: Messages { statement: "ALTER TABLE p DETACH", ..OWN },
        slow: Slow::Behind("SELECT FROM p"),
        effects: &[
            ("SELECT count(*) FROM pg_inherits WHERE inhparent = 'p'::regclass", "0"),
            ("SELECT count(*) FROM p1", "1"),
            (AROUND, "before,after"),
        ],
        ..PLAIN
    },
    Kind {
        name: "vacuum",
        group: 0,
        up: "INSERT INTO effect VALUES ('before');\nVACUUM t;\nINSERT INTO effect VALUES ('after');",
        messages: Messages { statement: "VACUUM", ..OWN },
        effects: &[(AROUND, "before,after")],
        ..PLAIN
    },
    Kind {
        name: "committing_block",
        group: 1,
        up: "INSERT INTO effect VALUES ('before');\n\
             DO $$ BEGIN INSERT INTO effect VALUES ('it'); COMMIT; PERFORM pause(); END $$;\n\
             INSERT INTO effect VALUES ('after');",
        messages: Messages { statement: "DO $$", ..OWN },
        slow: Slow::Pauses,
        truth: Some(EFFECT),
        effects: &[(AROUND, "before,it,after")],
        ..PLAIN
    },
    Kind {
        name: "committing_block_that_is_safe_to_rerun",
        group: 1,
        up: "INSERT INTO effect VALUES ('before');\n\
             DO $$ DECLARE n bigint; BEGIN\n\
             LOOP\n\
             UPDATE t SET done = true WHERE a IN (SELECT a FROM t WHERE done IS NULL ORDER BY a LIMIT 100);\n\
             GET DIAGNOSTICS n = ROW_COUNT; EXIT WHEN n = 0; COMMIT; PERFORM pause();\n\
             END LOOP; END $$;\n\
             INSERT INTO effect VALUES ('after');",
        manifest: "rerun = \"safe\"",
        messages: Messages { statement: "DO $$", ..OWN },
        slow: Slow::Pauses,
        effects: &[("SELECT count(*) FROM t WHERE done AND changes = 1", "200"), (AROUND, "before,after")],
        ..PLAIN
    },
    Kind {
        name: "create_database",
        group: 0,
        up: "INSERT INTO effect VALUES ('before');\nCREATE DATABASE {db}_new;\nINSERT INTO effect VALUES ('after');",
        messages: Messages { statement: "CREATE DATABASE", ..OWN },
        effects: &[
            ("SELECT count(*) FROM pg_database WHERE datname = current_database() || '_new'", "1"),
            (AROUND, "before,after"),
        ],
        ..PLAIN
    },
    Kind {
        name: "drop_database",
        group: 0,
        setup: "CREATE DATABASE {db}_new",
        up: "INSERT INTO effect VALUES ('before');\nDROP DATABASE {db}_new;\nINSERT INTO effect VALUES ('after');",
        messages: Messages { statement: "DROP DATABASE", ..OWN },
        effects: &[
            ("SELECT count(*) FROM pg_database WHERE datname = current_database() || '_new'", "0"),
            (AROUND, "before,after"),
        ],
        ..PLAIN
    },
    Kind {
        name: "rollback_in_a_transaction",
        group: 2,
        up: "CREATE TABLE n (id int)",
        down: Some("DROP TABLE n;\nINSERT INTO effect SELECT 'it' FROM pause();"),
        messages: Messages { intent: "DELETE FROM stopover.migration", ..WHOLE },
        slow: Slow::Pauses,
        effects: &[(EFFECT, "1"), ("SELECT to_regclass('n')", "NULL")],
        ..PLAIN
    },
    Kind {
        name: "rollback_statement_by_statement",
        group: 2,
        up: "CREATE INDEX i ON t (b)",
        down: Some(
            "INSERT INTO effect VALUES ('before');\nDROP INDEX CONCURRENTLY i;\nINSERT INTO effect VALUES ('after');",
        ),
        messages: Messages { statement: "DROP INDEX", ..OWN },
        slow: WRITER,
        effects: &[(INDEXES, "t_pkey true true"), (AROUND, "before,after")],
        ..PLAIN
    },
    Kind {
        name: "rollback_with_a_committing_block",
        group: 2,
        up: "CREATE TABLE n (id int)",
        down: Some(
            "DO $$ BEGIN INSERT INTO effect VALUES ('it'); COMMIT; PERFORM pause(); END $$;\nDROP TABLE n;",
        ),
        messages: Messages { statement: "DO $$", ..OWN },
        slow: Slow::Pauses,
        truth: Some(EFFECT),
        effects: &[(EFFECT, "1"), ("SELECT to_regclass('n')", "NULL")],
        ..PLAIN
    },
    Kind {
        name: "own_transactions_of_the_file",
        group: 0,
        up: "INSERT INTO effect VALUES ('before');\n\
             BEGIN; UPDATE t SET done = true; INSERT INTO effect SELECT 'it' FROM pause(); COMMIT;\n\
             VACUUM t;\n\
             BEGIN; INSERT INTO effect VALUES ('after'); COMMIT;",
        messages: Messages {
            intent: "stopover.fence WHERE",
            statement: "SELECT 'it'",
            record: "SELECT 'it'",
        },
        slow: Slow::Pauses,
        effects: &[("SELECT count(*) FROM t WHERE done AND changes = 1", "200"), (AROUND, "before,it,after")],
        ..PLAIN
    },
    Kind {
        name: "up_that_drops",
        group: 0,
        setup: "ALTER TABLE t ADD v text; UPDATE t SET v = a; CREATE TABLE gone (id int PRIMARY KEY); INSERT INTO gone VALUES (1)",
        up: "ALTER TABLE t DROP COLUMN v;\nDROP TABLE gone;\nINSERT INTO effect SELECT 'it' FROM pause();",
        messages: Messages { statement: "TABLE t DROP COLUMN v", ..WHOLE },
        effects: &[(EFFECT, "1"), (GONE, "0"), (SAVED, "table gone 1 1, columns t 200 200")],
        ..PLAIN
    },
    Kind {
        name: "rollback_that_saves",
        group: 2,
        up: "ALTER TABLE t ADD v text DEFAULT 'x'",
        down: Some("ALTER TABLE t DROP COLUMN v;\nINSERT INTO effect SELECT 'it' FROM pause();"),
        messages: Messages {
            intent: "CREATE TABLE stopover_saved.",
            statement: "INSERT INTO stopover_saved.manifest",
            ..WHOLE
        },
        effects: &[(EFFECT, "1"), (GONE, "0"), (SAVED, "columns t 200 200")],
        ..PLAIN
    },
    Kind {
        name: "rollback_that_saves_statement_by_statement",
        group: 2,
        up: "ALTER TABLE t ADD v text DEFAULT 'x';\nCREATE INDEX i ON t (b)",
        down: Some(
            "DROP INDEX CONCURRENTLY i;\nALTER TABLE t DROP COLUMN v;\nINSERT INTO effect VALUES ('after');",
        ),
        messages: Messages {
            intent: "CREATE TABLE stopover_saved.",
            statement: "TABLE t DROP COLUMN v",
            record: "INSERT INTO stopover.statement",
        },
        effects: &[
            (INDEXES, "t_pkey true true"),
            (AROUND, "after"),
            (GONE, "0"),
            (SAVED, "columns t 200 200"),
        ],
        ..PLAIN
    },
    Kind {
        name: "transaction_with_one_snapshot",
        group: 0,
        up: "BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE t SET done = true; INSERT INTO effect SELECT 'it' FROM pause(); COMMIT;",
        slow: Slow::Pauses,
        effects: &[(EFFECT, "1"), ("SELECT count(*) FROM t WHERE done AND changes = 1", "200")],
        ..PLAIN
    },
    // Of such a table its transaction can't say all, so that it goes on as any other does, and looks behind its COMMIT.
    Kind {
        name: "table_with_a_trigger_behind_another",
        group: 2,
        follows: true,
        up: "ALTER TABLE t ADD c int DEFAULT 1;\nCREATE TABLE made AS SELECT 'it' FROM pause();",
        messages: Messages { intent: "UPDATE stopover.fence", statement: "CREATE TABLE made", ..WHOLE },
        report: "UPDATE stopover.migration SET fingerprint_after",
        slow: Slow::Pauses,
        effects: &[("SELECT count(*) FROM made", "1"), ("SELECT count(*) FROM t WHERE c = 1", "200")],
        ..PLAIN
    },
];

impl Kind {
    pub(super) fn points(&self) -> Vec<Point> {
        let fits = |point: &Point| *point != Point::During || self.slow != Slow::Never;
        super::POINTS.into_iter().filter(fits).collect()
    }

    /// Whether only a person can say what became of it.
    pub(super) fn is_unknown_at(&self, point: Point) -> bool {
        self.truth.is_some()
            && matches!(
                point,
                Point::AfterIntent | Point::During | Point::AfterExecution | Point::BeforeCommit
            )
    }
}
