--liquibase formatted sql

--changeset person:0002_orders
CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);
--rollback DROP TABLE orders;
