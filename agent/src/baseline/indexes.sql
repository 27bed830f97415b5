-- And of their indexes. Those of partitions count for the index that they are parts of.
WITH RECURSIVE tree (root, oid) AS (
    SELECT t, t FROM pg_catalog.unnest($1::oid[]) AS t
    UNION
    SELECT tree.root, i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid
)
SELECT tree.root, pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
       coalesce(sum(pg_catalog.pg_relation_size(x.indexrelid)), 0)::bigint AS bytes,
       coalesce(sum(s.idx_scan), 0)::bigint AS scans
FROM tree
JOIN pg_catalog.pg_index x ON x.indrelid = tree.oid
JOIN pg_catalog.pg_class c ON c.oid = coalesce(pg_catalog.pg_partition_root(x.indexrelid)::oid, x.indexrelid)
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_all_indexes s ON s.indexrelid = x.indexrelid
GROUP BY 1, 2
ORDER BY 1, 2
LIMIT 500
