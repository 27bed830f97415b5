-- Written by liquibase 4.28.0; recorded by tests/real-tools --record.
CREATE TABLE public.databasechangelog (
    id character varying(255) NOT NULL,
    author character varying(255) NOT NULL,
    filename character varying(255) NOT NULL,
    dateexecuted timestamp without time zone NOT NULL,
    orderexecuted integer NOT NULL,
    exectype character varying(10) NOT NULL,
    md5sum character varying(35),
    description character varying(255),
    comments character varying(255),
    tag character varying(255),
    liquibase character varying(20),
    contexts character varying(255),
    labels character varying(255),
    deployment_id character varying(10)
);
CREATE TABLE public.databasechangeloglock (
    id integer NOT NULL,
    locked boolean NOT NULL,
    lockgranted timestamp without time zone,
    lockedby character varying(255)
);
INSERT INTO public.databasechangelog VALUES ('0001_users', 'person', 'migrations/0001_users.sql', '2026-11-22 23:25:34.564814', 1, 'EXECUTED', '9:3171c3bec2e9e4c673d6a994a6d09ad4', 'sql', '', NULL, '4.28.0', NULL, NULL, '5389934503');
INSERT INTO public.databasechangelog VALUES ('0002_orders', 'person', 'migrations/0002_orders.sql', '2026-11-22 23:25:34.589594', 2, 'EXECUTED', '9:ec7e26cc5f18b922a17925ca8d7e5c82', 'sql', '', NULL, '4.28.0', NULL, NULL, '5389934503');
INSERT INTO public.databasechangelog VALUES ('0003_orders_index', 'person', 'migrations/0003_orders_index.sql', '2026-11-22 23:25:34.607114', 3, 'EXECUTED', '9:5baedeead39d9067942de1da5d61c357', 'sql', '', NULL, '4.28.0', NULL, NULL, '5389934503');
INSERT INTO public.databasechangelog VALUES ('0004_unneeded', 'person', 'migrations/0004_unneeded.sql', '2026-11-22 23:25:34.628193', 4, 'MARK_RAN', '9:da67c4506d3cc09fa845b1a0294e273d', 'sql', '', NULL, '4.28.0', NULL, NULL, '5389934503');
INSERT INTO public.databasechangeloglock VALUES (1, false, NULL, NULL);
ALTER TABLE ONLY public.databasechangeloglock
    ADD CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id);
