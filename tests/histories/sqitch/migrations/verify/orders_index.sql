-- Verify shop:orders_index on pg

BEGIN;

-- XXX Add verifications here.

ROLLBACK;
