--liquibase formatted sql

--changeset person:0004_unneeded
--preconditions onFail:MARK_RAN
--precondition-sql-check expectedResult:1 SELECT 0
CREATE TABLE unneeded (id bigint);
--rollback DROP TABLE unneeded;
