-- What brings the tables $1 back: (part, statement). 1: sequences, 2: tables, 3: the sequences' values, 4: what must hold
-- again, 5: what else was there.
WITH rel AS (
    SELECT c.*, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name, array_position($1::oid[], c.oid) AS at
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = ANY ($1)
), seq AS (
    SELECT d.refobjid AS relid, d.refobjsubid AS attnum, d.deptype::text AS deptype, s.*,
           s.seqrelid::regclass::text AS name, pg_sequence_last_value(s.seqrelid) AS last,
           format('INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s', s.seqincrement, s.seqmin, s.seqmax,
                  s.seqstart, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END) AS options
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND d.deptype IN ('a', 'i') AND d.refobjid IN (SELECT oid FROM rel)
), col AS (
    SELECT a.attrelid, a.attnum, a.attname, a.attislocal,
           quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
           || coalesce((SELECT ' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(k.collname)
                        FROM pg_catalog.pg_collation k JOIN pg_catalog.pg_namespace n ON n.oid = k.collnamespace
                        WHERE k.oid = a.attcollation AND a.attcollation <> t.typcollation), '')
           || CASE WHEN a.attgenerated = 's' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') STORED'
                   WHEN a.attidentity <> '' THEN (
                       SELECT format(' GENERATED %s AS IDENTITY (SEQUENCE NAME %s %s)',
                                     CASE a.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, seq.name, seq.options)
                       FROM seq WHERE seq.relid = a.attrelid AND seq.attnum = a.attnum AND seq.deptype = 'i')
                   ELSE coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') END
           || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END AS definition
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid IN (SELECT oid FROM rel) AND a.attnum > 0 AND NOT a.attisdropped
), con AS (
    SELECT k.*, to_jsonb(k) ->> 'conparentid' AS parent, k.conrelid::regclass::text AS of_name
    FROM pg_catalog.pg_constraint k
    WHERE (k.conrelid IN (SELECT oid FROM rel) OR k.confrelid IN (SELECT oid FROM rel)) AND k.contype <> 'n'
      AND coalesce(to_jsonb(k) ->> 'conparentid', '0') = '0'
), item (part, at, sub, statement) AS (
    SELECT 1, rel.at, seq.attnum::bigint, format('CREATE SEQUENCE %s AS %s %s', seq.name, seq.seqtypid::regtype, seq.options)
    FROM seq JOIN rel ON rel.oid = seq.relid WHERE seq.deptype = 'a'
    UNION ALL
    SELECT 2, at, 0,
           format('CREATE %sTABLE %s', CASE relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, name)
           || CASE WHEN relispartition THEN format(' PARTITION OF %s %s',
                       (SELECT inhparent::regclass FROM pg_catalog.pg_inherits WHERE inhrelid = rel.oid), pg_get_expr(relpartbound, oid))
                   ELSE ' (' || coalesce((SELECT string_agg(definition, ', ' ORDER BY attnum) FROM col
                                          WHERE attrelid = rel.oid AND attislocal), '') || ')'
                        || coalesce((SELECT ' INHERITS (' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) || ')'
                                     FROM pg_catalog.pg_inherits WHERE inhrelid = rel.oid), '') END
           || CASE WHEN relkind = 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(oid) ELSE '' END
           || coalesce(' WITH (' || array_to_string(reloptions, ', ') || ')', '')
    FROM rel
    UNION ALL
    SELECT 3, rel.at, seq.attnum, format('SELECT pg_catalog.setval(%L, %s)', seq.name, seq.last)
    FROM seq JOIN rel ON rel.oid = seq.relid WHERE seq.last IS NOT NULL
    UNION ALL
    SELECT 3, rel.at, seq.attnum, format('ALTER SEQUENCE %s OWNED BY %s.%s', seq.name, rel.name, quote_ident(col.attname))
    FROM seq JOIN rel ON rel.oid = seq.relid JOIN col ON col.attrelid = seq.relid AND col.attnum = seq.attnum
    WHERE seq.deptype = 'a'
    UNION ALL
    SELECT 4, rel.at, con.oid::bigint, format('ALTER TABLE %s ADD CONSTRAINT %I %s', con.of_name, con.conname, pg_get_constraintdef(con.oid))
    FROM con JOIN rel ON rel.oid = con.conrelid WHERE con.contype IN ('p', 'u', 'x', 'c') AND con.conislocal
    UNION ALL
    SELECT 4, rel.at, 1000000000000 + i.indexrelid::bigint, regexp_replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
    FROM pg_catalog.pg_index i JOIN rel ON rel.oid = i.indrelid -- of a partitioned table: with its partitions'
    WHERE i.indisvalid AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conindid = i.indexrelid AND contype IN ('p', 'u', 'x'))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = i.indexrelid)
    UNION ALL
    SELECT 5, coalesce(rel.at, 0), con.oid::bigint, format('ALTER TABLE %s ADD CONSTRAINT %I %s', con.of_name, con.conname, pg_get_constraintdef(con.oid))
    FROM con LEFT JOIN rel ON rel.oid = con.conrelid WHERE con.contype = 'f'
    UNION ALL
    SELECT 5, rel.at, t.oid::bigint, pg_get_triggerdef(t.oid)
    FROM pg_catalog.pg_trigger t JOIN rel ON rel.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND coalesce(to_jsonb(t) ->> 'tgparentid', '0') = '0'
    UNION ALL
    SELECT 5, rel.at, r.oid::bigint, pg_get_ruledef(r.oid) FROM pg_catalog.pg_rewrite r JOIN rel ON rel.oid = r.ev_class
    UNION ALL
    SELECT 5, rel.at, s.oid::bigint, pg_get_statisticsobjdef(s.oid) FROM pg_catalog.pg_statistic_ext s JOIN rel ON rel.oid = s.stxrelid
    UNION ALL
    SELECT 5, rel.at, p.oid::bigint,
           format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, rel.name,
                  CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                  (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE r::regrole::text END, ', ') FROM unnest(p.polroles) r))
           || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
           || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
    FROM pg_catalog.pg_policy p JOIN rel ON rel.oid = p.polrelid
    UNION ALL
    SELECT 5, at, 1, format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name) FROM rel WHERE relrowsecurity
    UNION ALL
    SELECT 5, at, 2, format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name) FROM rel WHERE relforcerowsecurity
    UNION ALL
    SELECT 5, at, 3 + coalesce(d.objsubid, 0), CASE WHEN d.objsubid = 0 THEN format('COMMENT ON TABLE %s IS %L', name, d.description)
           ELSE format('COMMENT ON COLUMN %s.%I IS %L', name, (SELECT attname FROM col WHERE attrelid = rel.oid AND attnum = d.objsubid), d.description) END
    FROM rel JOIN pg_catalog.pg_description d ON d.objoid = rel.oid AND d.classoid = 'pg_catalog.pg_class'::regclass
    UNION ALL
    SELECT 5, at, 10000 + g.ordinality, format('GRANT %s ON %s TO %s%s', g.privilege_type, name,
           CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM rel, LATERAL aclexplode(relacl) WITH ORDINALITY g WHERE g.grantee <> relowner
    UNION ALL
    SELECT 5, at, 9000000000000, format('ALTER TABLE %s OWNER TO %s', name, relowner::regrole) FROM rel
)
SELECT part, statement FROM item ORDER BY part, at, sub
