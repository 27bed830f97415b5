-- The types that the statements give to columns and those that the columns have, with what domains are made of.
WITH RECURSIVE asked AS (
    SELECT t.oid
    FROM unnest($1::text[], $2::text[]) AS n (schema, name)
    JOIN pg_catalog.pg_type t ON t.typname = n.name::name
    JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace
    WHERE CASE WHEN n.schema IS NULL THEN pg_catalog.pg_type_is_visible(t.oid) ELSE s.nspname = n.schema END
    UNION
    SELECT unnest($3::oid[])
), all_of_them AS (
    SELECT oid FROM asked
    UNION
    SELECT o.oid
    FROM all_of_them a
    JOIN pg_catalog.pg_type t ON t.oid = a.oid
    CROSS JOIN LATERAL unnest(ARRAY[t.typbasetype, t.typarray]) AS o (oid)
    WHERE o.oid <> 0
)
SELECT pg_catalog.json_build_object(
    'oid', t.oid::bigint, 'schema', s.nspname, 'name', t.typname, 'kind', t.typtype,
    'base', t.typbasetype::bigint, 'base_typmod', t.typtypmod, 'array', t.typarray::bigint,
    'constrained', t.typtype = 'd' AND (
        t.typnotnull OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid)
    )
)
FROM all_of_them a
JOIN pg_catalog.pg_type t ON t.oid = a.oid
JOIN pg_catalog.pg_namespace s ON s.oid = t.typnamespace
