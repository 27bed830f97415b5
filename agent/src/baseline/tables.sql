-- What is counted of these tables, each with its partitions and children: a partitioned table has no rows of its own.
WITH RECURSIVE tree (root, oid) AS (
    SELECT t, t FROM pg_catalog.unnest($1::oid[]) AS t
    UNION
    SELECT tree.root, i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid
)
SELECT tree.root, min(pg_catalog.format('%I.%I', n.nspname, r.relname)) AS name,
       coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint AS bytes,
       coalesce(sum(s.n_live_tup), 0)::bigint AS rows,
       coalesce(sum(s.n_dead_tup), 0)::bigint AS dead_rows,
       coalesce(sum(s.seq_scan), 0)::bigint AS seq_scans
FROM tree
JOIN pg_catalog.pg_class r ON r.oid = tree.root
JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = tree.oid
LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid
GROUP BY tree.root
ORDER BY 2
