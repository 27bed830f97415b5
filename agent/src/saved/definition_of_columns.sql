-- What brings the columns $2 of the table $1 back: (part, statement), in the parts of a table's definition. That a column
-- was NOT NULL can hold only once its values are back.
WITH rel AS (
    SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
), col AS (
    SELECT a.*, d.oid AS default_oid, pg_get_expr(d.adbin, d.adrelid) AS expression,
           coalesce((SELECT ' COLLATE ' || quote_ident(n.nspname) || '.' || quote_ident(k.collname)
                     FROM pg_catalog.pg_collation k JOIN pg_catalog.pg_namespace n ON n.oid = k.collnamespace
                     WHERE k.oid = a.attcollation AND a.attcollation <> t.typcollation), '') AS collated
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = $1 AND a.attnum = ANY ($2)
), seq AS (
    SELECT d.refobjsubid AS attnum, d.deptype::text AS deptype, s.seqrelid::regclass::text AS name, s.seqtypid,
           pg_sequence_last_value(s.seqrelid) AS last,
           format('INCREMENT BY %s MINVALUE %s MAXVALUE %s START WITH %s CACHE %s%s', s.seqincrement, s.seqmin, s.seqmax,
                  s.seqstart, s.seqcache, CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END) AS options
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND d.deptype IN ('a', 'i') AND d.refobjid = $1 AND d.refobjsubid = ANY ($2)
), of_column AS (
    -- What depends on one of the columns, by an expression too.
    SELECT DISTINCT d.classid, d.objid FROM pg_catalog.pg_depend d
    WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = $1 AND d.refobjsubid = ANY ($2)
), item (part, sub, statement) AS (
    SELECT 1, attnum::bigint, format('CREATE SEQUENCE %s AS %s %s', name, seqtypid::regtype, options) FROM seq WHERE deptype = 'a'
    UNION ALL
    SELECT 2, attnum, format('ALTER TABLE %s ADD COLUMN %I %s%s', rel.name, attname, format_type(atttypid, atttypmod), collated)
           || CASE WHEN attgenerated = 's' THEN ' GENERATED ALWAYS AS (' || expression || ') STORED'
                   WHEN attidentity <> '' THEN (SELECT format(' GENERATED %s AS IDENTITY (%s)',
                       CASE attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, options) FROM seq WHERE seq.attnum = col.attnum AND deptype = 'i')
                   ELSE coalesce(' DEFAULT ' || expression, '') END
    FROM col, rel
    UNION ALL
    SELECT 3, attnum, format('SELECT pg_catalog.setval(%L, %s)', name, last) FROM seq WHERE deptype = 'a' AND last IS NOT NULL
    UNION ALL
    SELECT 3, attnum, format('ALTER SEQUENCE %s OWNED BY %s.%I', seq.name, rel.name, (SELECT attname FROM col WHERE col.attnum = seq.attnum))
    FROM seq, rel WHERE deptype = 'a'
    UNION ALL
    SELECT 4, attnum, format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', rel.name, attname) FROM col, rel WHERE attnotnull AND attidentity = ''
    UNION ALL
    SELECT 4, 10000 + k.oid::bigint, format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
    FROM of_column JOIN pg_catalog.pg_constraint k ON classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = objid
    WHERE k.contype IN ('p', 'u', 'x', 'c')
    UNION ALL
    SELECT 4, 1000000000000 + i.indexrelid::bigint, regexp_replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON ')
    FROM of_column JOIN pg_catalog.pg_index i ON classid = 'pg_catalog.pg_class'::regclass AND i.indexrelid = objid
    WHERE i.indisvalid AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE conindid = i.indexrelid AND contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 5, k.oid::bigint, format('ALTER TABLE %s ADD CONSTRAINT %I %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
    FROM of_column JOIN pg_catalog.pg_constraint k ON classid = 'pg_catalog.pg_constraint'::regclass AND k.oid = objid
    WHERE k.contype = 'f'
    UNION ALL
    SELECT 5, t.oid::bigint, pg_get_triggerdef(t.oid)
    FROM of_column JOIN pg_catalog.pg_trigger t ON classid = 'pg_catalog.pg_trigger'::regclass AND t.oid = objid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 5, 1000000000000 + r.ev_class::bigint,
           format('CREATE %sVIEW %s AS %s', CASE WHEN v.relkind = 'm' THEN 'MATERIALIZED ' ELSE '' END, v.oid::regclass,
                  rtrim(pg_get_viewdef(v.oid), ';'))
    FROM of_column JOIN pg_catalog.pg_rewrite r ON classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = objid
         JOIN pg_catalog.pg_class v ON v.oid = r.ev_class WHERE v.relkind IN ('v', 'm')
    UNION ALL
    SELECT 5, attnum, format('COMMENT ON COLUMN %s.%I IS %L', rel.name, attname, col_description($1, attnum))
    FROM col, rel WHERE col_description($1, attnum) IS NOT NULL
    UNION ALL
    SELECT 5, 10000 + attnum, format('GRANT %s (%I) ON %s TO %s', g.privilege_type, attname, rel.name,
           CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END)
    FROM col, rel, LATERAL aclexplode(attacl) g
)
SELECT part, statement FROM item ORDER BY part, sub
