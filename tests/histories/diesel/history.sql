-- Written by diesel_cli 2.3.14; recorded by tests/real-tools --record.
CREATE TABLE public.__diesel_schema_migrations (
    version character varying(50) NOT NULL,
    run_on timestamp without time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
);
INSERT INTO public.__diesel_schema_migrations VALUES ('00000000000000', '2026-11-22 23:25:26.043952');
INSERT INTO public.__diesel_schema_migrations VALUES ('202611222325260000', '2026-11-22 23:25:29.102774');
INSERT INTO public.__diesel_schema_migrations VALUES ('202611222325270000', '2026-11-22 23:25:29.112435');
INSERT INTO public.__diesel_schema_migrations VALUES ('202611222325280000', '2026-11-22 23:25:29.115943');
ALTER TABLE ONLY public.__diesel_schema_migrations
    ADD CONSTRAINT __diesel_schema_migrations_pkey PRIMARY KEY (version);
