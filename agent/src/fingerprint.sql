WITH ns AS (
    SELECT oid, nspname, CASE WHEN nspname = 'public' THEN '' ELSE quote_ident(nspname) || '.' END AS prefix
    FROM pg_catalog.pg_namespace
    WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('information_schema', 'stopover', 'stopover_saved')
), extension_member AS (
    -- An extension stands for all that it brought along.
    SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'
), rel AS (
    SELECT c.*, ns.prefix || quote_ident(c.relname) AS name
    FROM pg_catalog.pg_class c JOIN ns ON ns.oid = c.relnamespace
    WHERE NOT EXISTS (SELECT FROM extension_member WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = c.oid)
), item (object, definition) AS (
    SELECT 'schema ' || quote_ident(nspname), ROW(obj_description(oid, 'pg_namespace'))::text FROM ns
    UNION ALL
    SELECT CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table '
                        WHEN 'c' THEN 'type ' ELSE 'table ' END || name,
           ROW(relkind, relpersistence, reloptions, relreplident, relrowsecurity, relforcerowsecurity,
               reloftype::regtype, pg_get_expr(relpartbound, oid),
               CASE WHEN relkind = 'p' THEN pg_get_partkeydef(oid) END,
               CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END,
               ARRAY(SELECT inhparent::regclass::text FROM pg_catalog.pg_inherits WHERE inhrelid = rel.oid ORDER BY inhseqno),
               (SELECT description FROM pg_catalog.pg_description WHERE objoid = oid AND classoid = 'pg_catalog.pg_class'::regclass AND objsubid = 0))::text
    FROM rel WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
    UNION ALL
    SELECT 'sequence ' || name,
           ROW(relpersistence, seqtypid::regtype, seqstart, seqincrement, seqmin, seqmax, seqcache, seqcycle,
               (SELECT description FROM pg_catalog.pg_description WHERE objoid = oid AND classoid = 'pg_catalog.pg_class'::regclass AND objsubid = 0))::text
    FROM rel JOIN pg_catalog.pg_sequence ON seqrelid = oid
    UNION ALL
    SELECT 'column ' || name || '.' || quote_ident(attname),
           ROW(format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attstorage, attoptions,
               (SELECT collname FROM pg_catalog.pg_collation c WHERE c.oid = attcollation),
               pg_get_expr(adbin, adrelid),
               (SELECT description FROM pg_catalog.pg_description WHERE objoid = attrelid AND classoid = 'pg_catalog.pg_class'::regclass AND objsubid = attnum))::text
    FROM rel JOIN pg_catalog.pg_attribute ON attrelid = rel.oid
         LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind IN ('r', 'p', 'f', 'c') AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'index ' || t.name || '.' || quote_ident(i.relname),
           ROW(pg_get_indexdef(indexrelid), indisvalid, indisready, indisprimary, indisclustered, indisreplident,
               (SELECT description FROM pg_catalog.pg_description WHERE objoid = indexrelid AND classoid = 'pg_catalog.pg_class'::regclass AND objsubid = 0))::text
    FROM pg_catalog.pg_index JOIN rel t ON t.oid = indrelid JOIN pg_catalog.pg_class i ON i.oid = indexrelid
    UNION ALL
    -- NOT NULL stands at the column.
    SELECT 'constraint ' || name || '.' || quote_ident(conname),
           ROW(pg_get_constraintdef(c.oid), convalidated,
               (SELECT description FROM pg_catalog.pg_description WHERE objoid = c.oid AND classoid = 'pg_catalog.pg_constraint'::regclass AND objsubid = 0))::text
    FROM pg_catalog.pg_constraint c JOIN rel ON rel.oid = conrelid WHERE contype <> 'n'
    UNION ALL
    SELECT 'constraint ' || prefix || quote_ident(typname) || '.' || quote_ident(conname),
           ROW(pg_get_constraintdef(c.oid), convalidated)::text
    FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_type t ON t.oid = contypid JOIN ns ON ns.oid = typnamespace
    WHERE contype <> 'n'
    UNION ALL
    SELECT 'trigger ' || name || '.' || quote_ident(tgname),
           ROW(pg_get_triggerdef(t.oid), tgenabled, obj_description(t.oid, 'pg_trigger'))::text
    FROM pg_catalog.pg_trigger t JOIN rel ON rel.oid = tgrelid WHERE NOT tgisinternal
    UNION ALL
    SELECT 'rule ' || name || '.' || quote_ident(rulename), ROW(pg_get_ruledef(r.oid), ev_enabled)::text
    FROM pg_catalog.pg_rewrite r JOIN rel ON rel.oid = ev_class WHERE rulename <> '_RETURN'
    UNION ALL
    SELECT 'policy ' || name || '.' || quote_ident(polname),
           ROW(polcmd, polpermissive, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid),
               ARRAY(SELECT CASE WHEN r = 0 THEN 'public' ELSE r::regrole::text END
                     FROM unnest(polroles) AS r ORDER BY 1))::text
    FROM pg_catalog.pg_policy JOIN rel ON rel.oid = polrelid
    UNION ALL
    SELECT 'function ' || prefix || quote_ident(proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
           CASE WHEN prokind = 'a'
                THEN (SELECT ROW(aggtransfn, aggfinalfn, aggtranstype::regtype, agginitval)::text
                      FROM pg_catalog.pg_aggregate WHERE aggfnoid = p.oid)
                ELSE ROW(pg_get_functiondef(p.oid), obj_description(p.oid, 'pg_proc'))::text END
    FROM pg_catalog.pg_proc p JOIN ns ON ns.oid = pronamespace
    WHERE NOT EXISTS (SELECT FROM extension_member WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = p.oid)
    UNION ALL
    SELECT 'type ' || prefix || quote_ident(typname),
           ROW(typtype, ARRAY(SELECT enumlabel FROM pg_catalog.pg_enum WHERE enumtypid = t.oid ORDER BY enumsortorder),
               CASE WHEN typtype = 'd' THEN format_type(typbasetype, typtypmod) END, typnotnull, typdefault,
               (SELECT rngsubtype::regtype FROM pg_catalog.pg_range WHERE rngtypid = t.oid),
               obj_description(t.oid, 'pg_type'))::text
    FROM pg_catalog.pg_type t JOIN ns ON ns.oid = typnamespace
    WHERE typtype IN ('e', 'd', 'r')
      AND NOT EXISTS (SELECT FROM extension_member WHERE classid = 'pg_catalog.pg_type'::regclass AND objid = t.oid)
    UNION ALL
    SELECT 'statistics ' || prefix || quote_ident(stxname), pg_get_statisticsobjdef(s.oid)
    FROM pg_catalog.pg_statistic_ext s JOIN ns ON ns.oid = stxnamespace
    UNION ALL
    SELECT 'extension ' || quote_ident(extname), ROW(extversion, extnamespace::regnamespace)::text
    FROM pg_catalog.pg_extension
    UNION ALL
    SELECT 'event trigger ' || quote_ident(evtname), ROW(evtevent, evtfoid::regproc, evtenabled, evttags)::text
    FROM pg_catalog.pg_event_trigger
)
SELECT object, encode(sha256(convert_to(coalesce(definition, ''), 'UTF8')), 'hex'),
       -- For people, who would not read a whole function.
       CASE WHEN length(definition) <= 1000 AND object !~ '^(function|view|materialized view) ' THEN definition END
FROM item ORDER BY object COLLATE "C"
