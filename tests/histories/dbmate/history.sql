-- Written by dbmate 2.36.0; recorded by tests/real-tools --record.
CREATE TABLE public.schema_migrations (
    version character varying NOT NULL
);
INSERT INTO public.schema_migrations VALUES ('20261122232905');
INSERT INTO public.schema_migrations VALUES ('20261122232906');
INSERT INTO public.schema_migrations VALUES ('20261122232907');
ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);
