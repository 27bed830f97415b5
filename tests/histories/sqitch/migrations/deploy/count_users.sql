-- Deploy shop:count_users to pg

BEGIN;

CREATE OR REPLACE FUNCTION count_users() RETURNS bigint LANGUAGE sql AS
    'SELECT count(email) FROM users';

COMMIT;
