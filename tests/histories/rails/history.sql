-- Written by activerecord 6.1.7.10; recorded by tests/real-tools --record.
CREATE TABLE public.ar_internal_metadata (
    key character varying NOT NULL,
    value character varying,
    created_at timestamp(6) without time zone NOT NULL,
    updated_at timestamp(6) without time zone NOT NULL
);
CREATE TABLE public.schema_migrations (
    version character varying NOT NULL
);
INSERT INTO public.ar_internal_metadata VALUES ('environment', 'default_env', '2026-11-22 23:25:33.138394', '2026-11-22 23:25:33.138394');
INSERT INTO public.schema_migrations VALUES ('20260501120000');
INSERT INTO public.schema_migrations VALUES ('20260501120001');
INSERT INTO public.schema_migrations VALUES ('20260501120002');
ALTER TABLE ONLY public.ar_internal_metadata
    ADD CONSTRAINT ar_internal_metadata_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);
