-- Made by hand after Flyway's source (PostgreSQLDatabase.java), not written by the tool itself.
CREATE TABLE public.flyway_schema_history (
    installed_rank INT NOT NULL,
    version VARCHAR(50),
    description VARCHAR(200) NOT NULL,
    type VARCHAR(20) NOT NULL,
    script VARCHAR(1000) NOT NULL,
    checksum INTEGER,
    installed_by VARCHAR(100) NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT now(),
    execution_time INTEGER NOT NULL,
    success BOOLEAN NOT NULL
);
ALTER TABLE public.flyway_schema_history ADD CONSTRAINT flyway_schema_history_pk PRIMARY KEY (installed_rank);
CREATE INDEX flyway_schema_history_s_idx ON public.flyway_schema_history (success);
INSERT INTO public.flyway_schema_history VALUES
    (1, '1', 'users', 'SQL', 'V1__users.sql', 996368910, 'postgres', '2026-05-01 12:00:01', 7, true);
INSERT INTO public.flyway_schema_history VALUES
    (2, '2', 'orders', 'SQL', 'V2__orders.sql', -257289456, 'postgres', '2026-05-01 12:00:02', 7, true);
INSERT INTO public.flyway_schema_history VALUES
    (3, '3', 'orders index', 'SQL', 'V3__orders_index.sql', 1035915389, 'postgres', '2026-05-01 12:00:03', 7, true);
INSERT INTO public.flyway_schema_history VALUES
    (4, NULL, 'count users', 'SQL', 'R__count_users.sql', -1170212602, 'postgres', '2026-05-01 12:00:04', 7, true);
