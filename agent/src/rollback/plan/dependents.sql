-- What goes with the objects of $1, $2, $3 when they are dropped, and what refuses it: a walk along pg_depend, as DROP makes
-- it. $4: with CASCADE. What is in $5, $6, $7 is gone by then.
WITH RECURSIVE edge (class, object, sub, from_class, from_object, from_sub, kind) AS NOT MATERIALIZED (
    -- A view's rule stands for the view.
    SELECT CASE WHEN r.oid IS NULL THEN d.classid ELSE 'pg_catalog.pg_class'::regclass::oid END,
        coalesce(r.ev_class, d.objid), CASE WHEN r.oid IS NULL THEN d.objsubid ELSE 0 END,
        d.refclassid, d.refobjid, d.refobjsubid, d.deptype
    FROM pg_catalog.pg_depend d
    LEFT JOIN pg_catalog.pg_rewrite r
        ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid AND r.rulename = '_RETURN'
), before (class, object, sub) AS (
    SELECT * FROM ROWS FROM (pg_catalog.unnest($5::oid[]), pg_catalog.unnest($6::oid[]), pg_catalog.unnest($7::integer[]))
), taken (class, object, sub) AS (
    SELECT * FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::oid[]), pg_catalog.unnest($3::integer[]))
    UNION
    SELECT e.class, e.object, e.sub
    FROM taken t
    JOIN edge e ON e.from_class = t.class AND e.from_object = t.object AND (t.sub = 0 OR e.from_sub = t.sub)
    WHERE ($4::boolean OR e.kind <> 'n')
      AND NOT EXISTS (
          SELECT FROM before b WHERE b.class = e.class AND b.object = e.object AND (b.sub = 0 OR b.sub = e.sub)
      )
), refusing (class, object, sub) AS (
    SELECT DISTINCT e.class, e.object, e.sub
    FROM taken t
    JOIN edge e ON e.from_class = t.class AND e.from_object = t.object AND (t.sub = 0 OR e.from_sub = t.sub)
    WHERE e.kind = 'n'
      AND NOT EXISTS (
          SELECT FROM (SELECT * FROM taken UNION ALL SELECT * FROM before) AS g
          WHERE g.class = e.class AND g.object = e.object AND (g.sub = 0 OR g.sub = e.sub)
      )
), found (class, object, sub, in_the_way) AS (
    SELECT t.*, false FROM taken t
    WHERE NOT EXISTS (
        SELECT FROM ROWS FROM (
            pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::oid[]), pg_catalog.unnest($3::integer[])
        ) AS s (class, object, sub)
        WHERE s.class = t.class AND s.object = t.object AND (s.sub = 0 OR s.sub = t.sub)
    )
    UNION ALL
    SELECT r.*, true FROM refusing r
)
SELECT f.class, f.object, f.sub, coalesce(c.relkind::text, '') AS kind, f.in_the_way,
    pg_catalog.pg_describe_object(f.class, f.object, f.sub) AS name, coalesce(c.relname, '')::text AS bare,
    CASE f.class
        WHEN 'pg_catalog.pg_class'::regclass THEN
            c.relkind NOT IN ('c', 't') AND c.relnamespace <> 'pg_toast'::regnamespace
            -- It goes by the name of its constraint.
            AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_constraint k
                WHERE k.conindid = c.oid AND k.conrelid = x.indrelid AND k.contype IN ('p', 'u', 'x')
            )
        WHEN 'pg_catalog.pg_type'::regclass THEN NOT EXISTS (
            SELECT FROM pg_catalog.pg_type y
            LEFT JOIN pg_catalog.pg_class o ON o.oid = y.typrelid
            WHERE y.oid = f.object AND (o.relkind <> 'c' OR y.typcategory = 'A')
        )
        WHEN 'pg_catalog.pg_trigger'::regclass THEN NOT EXISTS (
            SELECT FROM pg_catalog.pg_trigger g WHERE g.oid = f.object AND g.tgisinternal
        )
        WHEN 'pg_catalog.pg_constraint'::regclass THEN NOT EXISTS (
            SELECT FROM pg_catalog.pg_constraint k WHERE k.oid = f.object AND k.conparentid <> 0
        )
        WHEN 'pg_catalog.pg_attrdef'::regclass THEN false
        ELSE true
    END AS shown
FROM found f
LEFT JOIN pg_catalog.pg_class c ON f.class = 'pg_catalog.pg_class'::regclass AND c.oid = f.object
LEFT JOIN pg_catalog.pg_index x ON x.indexrelid = c.oid
ORDER BY f.in_the_way DESC, name
