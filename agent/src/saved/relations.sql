SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relispartition,
       ARRAY(SELECT inhparent FROM pg_catalog.pg_inherits WHERE inhrelid = c.oid),
       CASE WHEN c.relkind = 'p'
            THEN (SELECT coalesce(sum(pg_table_size(relid)), 0)::bigint FROM pg_catalog.pg_partition_tree(c.oid) WHERE isleaf)
            ELSE pg_table_size(c.oid) END,
       -- The row of a system column is never changed, so that its transaction is the table's first.
       coalesce((SELECT xmin::text::bigint = txid_current_if_assigned() & 4294967295
                 FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum = -6), false),
       ARRAY(SELECT k.columns FROM (
                 SELECT i.indkey::text AS columns, i.indisprimary, i.indnkeyatts, i.indexrelid
                 FROM pg_catalog.pg_index i
                 WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                   AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnatts = i.indnkeyatts
                   AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                                   WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull)
             ) k ORDER BY k.indisprimary DESC, k.indnkeyatts, k.indexrelid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY ($1)
ORDER BY c.oid
