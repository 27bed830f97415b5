-- Revert shop:orders_index from pg

DROP INDEX CONCURRENTLY orders_user_id;
