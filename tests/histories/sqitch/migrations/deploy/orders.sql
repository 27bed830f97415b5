-- Deploy shop:orders to pg

BEGIN;

CREATE TABLE orders (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);

COMMIT;
