-- Verify shop:active_users on pg

BEGIN;

-- XXX Add verifications here.

ROLLBACK;
