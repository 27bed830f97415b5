-- Your SQL goes here
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
