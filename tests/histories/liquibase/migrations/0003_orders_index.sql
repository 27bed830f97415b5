--liquibase formatted sql

--changeset person:0003_orders_index runInTransaction:false
CREATE INDEX CONCURRENTLY orders_user_id ON orders (user_id);
--rollback DROP INDEX CONCURRENTLY orders_user_id;
