-- Made by hand after golang-migrate's source (database/postgres/postgres.go), not written by the tool itself.
CREATE TABLE public.schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);
INSERT INTO public.schema_migrations (version, dirty) VALUES (3, false);
