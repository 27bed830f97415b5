-- Written by sqlx-cli 0.9.0; recorded by tests/real-tools --record.
CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
INSERT INTO public._sqlx_migrations VALUES (20261122232550, 'users', '2026-11-22 23:25:53.214801+00', true, '\xe326d0d8cd20ed38b58da68f0a51c080c04664d28d0810004b0b7a8cd90e4be272375c878e86ba4562992513a40903dd', 8528372);
INSERT INTO public._sqlx_migrations VALUES (20261122232551, 'orders', '2026-11-22 23:25:53.221382+00', true, '\xf12683ffed56108d78434a78df63873cad594baa5ce09441e8821279c05aeb1bc1ad56bdf3084f6ad030b5fb88916fa1', 3085284);
INSERT INTO public._sqlx_migrations VALUES (20261122232552, 'orders index', '2026-11-22 23:25:53.22552+00', true, '\x5096db71bed42b4de1a724a620ee493273e58b2c29c662791b1c2b59d19ec6cf50adce3add3e9ab07f5fbdd8d6f4943e', 888509);
ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);
