-- What the impact of statements is predicted from: one row of JSON for each relation that they name or that hangs together
-- with one of those, by inheritance, foreign keys and views. {pages} and {index_bytes} are put in.
WITH RECURSIVE asked AS (
    SELECT DISTINCT c.oid
    FROM unnest($1::text[], $2::text[]) AS n (schema, name)
    JOIN pg_catalog.pg_class c ON c.relname = n.name::name
    JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
    WHERE s.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
      AND CASE WHEN n.schema IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) ELSE s.nspname = n.schema END
    UNION
    SELECT x.stxrelid
    FROM unnest($1::text[], $2::text[]) AS n (schema, name)
    JOIN pg_catalog.pg_statistic_ext x ON x.stxname = n.name::name
), hangs (oid, other) AS MATERIALIZED (
    SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits
    UNION ALL SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits
    UNION ALL SELECT indexrelid, indrelid FROM pg_catalog.pg_index
    UNION ALL SELECT confrelid, conrelid FROM pg_catalog.pg_constraint WHERE contype = 'f'
    UNION ALL
    SELECT r.ev_class, d.refobjid
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> r.ev_class
    WHERE r.ev_class >= 16384
    UNION ALL
    SELECT d.refobjid, r.ev_class
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> r.ev_class
    WHERE r.ev_class >= 16384
), near (oid) AS (
    SELECT oid FROM asked
    UNION
    SELECT h.other FROM near n JOIN hangs h ON h.oid = n.oid
), wanted AS (
    SELECT oid FROM near
    UNION
    SELECT k.confrelid FROM near n JOIN pg_catalog.pg_constraint k ON k.conrelid = n.oid AND k.contype = 'f'
), sized AS (
    SELECT c.*, {pages} AS pages, {index_bytes} AS index_bytes,
        pg_catalog.current_setting('block_size')::bigint AS block
    FROM wanted w
    JOIN pg_catalog.pg_class c ON c.oid = w.oid
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relnamespace <> 'pg_catalog'::regnamespace
    ORDER BY c.oid NOT IN (SELECT a.oid FROM asked a WHERE a.oid IS NOT NULL), c.oid
    LIMIT $3
)
SELECT pg_catalog.json_build_object(
    'oid', c.oid::bigint,
    'schema', s.nspname,
    'name', c.relname,
    'kind', c.relkind,
    'partition', c.relispartition,
    'rows', CASE
        WHEN c.relkind NOT IN ('r', 'm') OR c.pages = 0 THEN 0
        WHEN c.reltuples >= 0 AND c.relpages > 0 THEN round((c.reltuples::float8 / c.relpages) * c.pages)::bigint
        ELSE c.pages * c.block / (28 + (
            SELECT coalesce(sum(CASE WHEN a.attlen > 0 THEN a.attlen ELSE 32 END), 0) FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        ))
    END,
    'heap_bytes', c.pages * c.block,
    'index_bytes', c.index_bytes,
    'parents', (
        SELECT coalesce(pg_catalog.json_agg(i.inhparent::bigint ORDER BY i.inhseqno), '[]')
        FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid
    ),
    'default_partition', (
        SELECT nullif(p.partdefid::bigint, 0) FROM pg_catalog.pg_partitioned_table p WHERE p.partrelid = c.oid
    ),
    'columns', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', a.attname, 'type', a.atttypid::bigint, 'typmod', a.atttypmod, 'not_null', a.attnotnull,
            'generated', a.attgenerated <> '', 'has_default', a.atthasdef OR a.attidentity <> ''
        ) ORDER BY a.attnum), '[]')
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ),
    'checks', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', k.conname, 'valid', k.convalidated, 'definition', pg_catalog.pg_get_constraintdef(k.oid),
            'columns', (
                SELECT coalesce(pg_catalog.json_agg(a.attname), '[]') FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)
            )
        ) ORDER BY k.conname), '[]')
        FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'
    ),
    'foreign_keys', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'name', k.conname, 'to', k.confrelid::bigint, 'valid', k.convalidated,
            'on_delete', k.confdeltype, 'on_update', k.confupdtype, 'inherited', k.conparentid <> 0,
            'columns', (
                SELECT pg_catalog.json_agg(a.attname ORDER BY n.n)
                FROM unnest(k.conkey) WITH ORDINALITY AS n (attnum, n)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = n.attnum
            ),
            'to_columns', (
                SELECT pg_catalog.json_agg(a.attname ORDER BY n.n)
                FROM unnest(k.confkey) WITH ORDINALITY AS n (attnum, n)
                JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = n.attnum
            )
        ) ORDER BY k.conname), '[]')
        FROM pg_catalog.pg_constraint k
        WHERE k.conrelid = c.oid AND k.contype = 'f'
          -- One that points to a partitioned table has a part for each partition there.
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint u WHERE u.oid = k.conparentid AND u.conrelid = k.conrelid)
    ),
    'indexes', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'oid', x.indexrelid::bigint, 'name', i.relname, 'unique', x.indisunique, 'primary', x.indisprimary,
            'partial', x.indpred IS NOT NULL,
            'constraint', EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = x.indexrelid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x')),
            'key', (
                SELECT pg_catalog.json_agg(a.attname ORDER BY n.n)
                FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS n (attnum, n)
                LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = n.attnum AND n.attnum > 0
                WHERE n.n <= x.indnkeyatts
            ),
            'columns', (
                SELECT coalesce(pg_catalog.json_agg(a.attname), '[]') FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND (
                    a.attnum = ANY (x.indkey::int2[])
                    OR EXISTS (
                        SELECT FROM pg_catalog.pg_depend d
                        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = x.indexrelid
                          AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum
                    )
                )
            )
        ) ORDER BY i.relname), '[]')
        FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = c.oid
    ),
    'triggers', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object(
            'oid', t.oid::bigint, 'name', t.tgname, 'type', t.tgtype, 'enabled', t.tgenabled,
            'function', pg_catalog.format('%I.%I', fs.nspname, f.proname),
            'parent', {trigger_parent},
            'columns', (
                SELECT coalesce(pg_catalog.json_agg(a.attname), '[]') FROM pg_catalog.pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum = ANY (t.tgattr::int2[])
            )
        ) ORDER BY t.tgname), '[]')
        FROM pg_catalog.pg_trigger t
        JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid
        JOIN pg_catalog.pg_namespace fs ON fs.oid = f.pronamespace
        WHERE t.tgrelid = c.oid AND {trigger_of_people}
    ),
    'reads', (
        SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('oid', seen.oid::bigint, 'columns', seen.columns)), '[]')
        FROM (
            SELECT d.refobjid AS oid, coalesce(pg_catalog.json_agg(a.attname) FILTER (WHERE a.attname IS NOT NULL), '[]') AS columns
            FROM pg_catalog.pg_rewrite r
            JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
                AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> c.oid
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND a.attnum > 0
            WHERE r.ev_class = c.oid AND c.relkind IN ('v', 'm')
            GROUP BY d.refobjid
        ) AS seen
    ),
    'statistics', (
        SELECT coalesce(pg_catalog.json_agg(x.stxname), '[]') FROM pg_catalog.pg_statistic_ext x WHERE x.stxrelid = c.oid
    ),
    'rules', c.relhasrules AND c.relkind NOT IN ('v', 'm')
)
FROM sized c
JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
ORDER BY c.oid
