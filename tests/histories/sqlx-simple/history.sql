-- Written by sqlx-cli 0.9.0; recorded by tests/real-tools --record.
CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);
INSERT INTO public._sqlx_migrations VALUES (1, 'users', '2026-11-22 23:25:57.129653+00', true, '\x92e9dbda7295c5970052e96ffdaf74a0be6612bf8c99ca714a99c5c3255f09f6050fb670682100dab82a54e43cc8880b', 3488203);
INSERT INTO public._sqlx_migrations VALUES (2, 'orders', '2026-11-22 23:25:57.133524+00', true, '\xb683f7f6a9f7161ed7a15f09aae36b2ec9b146538e972cf4872ffb8f16fbc262494589f26cdc63a39336e3edaaa607f9', 2912236);
INSERT INTO public._sqlx_migrations VALUES (3, 'orders index', '2026-11-22 23:25:57.137263+00', true, '\x19b57d5a4e836acdbb8e7496e5aa4fd80d0976e91f95506f2e10a69993f0073086f8bae71c6c4be59ec50e33ce9ccee8', 733704);
ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);
