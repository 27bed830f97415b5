-- What is counted of the whole database. PostgreSQL 15 and later say since when only once somebody has reset its
-- statistics; until then it counts since the server's were begun, at initdb or after a crash, when all are dropped.
-- Times are in microseconds.
SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint AS at,
       (extract(epoch FROM d.stats_reset) * 1000000)::bigint AS since,
       (extract(epoch FROM least((SELECT stats_reset FROM pg_catalog.pg_stat_bgwriter),
                                 (SELECT stats_reset FROM pg_catalog.pg_stat_archiver))) * 1000000)::bigint AS since_of_server,
       greatest(d.numbackends - 1, 0)::bigint AS connections,
       d.deadlocks, d.temp_bytes
FROM pg_catalog.pg_stat_database d
WHERE d.datname = pg_catalog.current_database()
