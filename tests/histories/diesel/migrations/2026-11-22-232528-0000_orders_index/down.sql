-- This file should undo anything in `up.sql`
DROP INDEX CONCURRENTLY orders_user_id;
