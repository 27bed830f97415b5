SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
       -- A type of somebody's may be dropped next, and must not be held by what is saved of it.
       NOT (t.typnamespace = 'pg_catalog'::regnamespace AND t.typtype IN ('b', 'r', 'm')),
       a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attgenerated::text, a.attidentity::text,
       col_description(a.attrelid, a.attnum)
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
     LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
