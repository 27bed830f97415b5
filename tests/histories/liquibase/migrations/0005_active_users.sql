--liquibase formatted sql

--changeset person:0005_active_users
ALTER TABLE users ADD COLUMN active boolean NOT NULL DEFAULT true;
--rollback ALTER TABLE users DROP COLUMN active;
