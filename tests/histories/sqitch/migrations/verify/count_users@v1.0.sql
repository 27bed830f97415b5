-- Verify shop:count_users on pg

BEGIN;

-- XXX Add verifications here.

ROLLBACK;
