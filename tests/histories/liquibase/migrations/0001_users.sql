--liquibase formatted sql

--changeset person:0001_users
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
--rollback DROP TABLE users;
