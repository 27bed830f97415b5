-- The same change as up.sql, for large tables: no lock is held for longer than a batch, and sign-ins go on meanwhile.
-- May be interrupted and run again: it goes on with the rows that have no value yet.

-- The default comes with the column and before the batches, so that accounts made meanwhile already have their value.
ALTER TABLE users
    ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN,
    ALTER COLUMN onboarding_completed SET DEFAULT false;

DO $$
DECLARE
    batch_size CONSTANT BIGINT := 10000;
    next_id BIGINT;
    last_id BIGINT;
    total BIGINT;
    changed BIGINT;
    updated BIGINT := 0;
BEGIN
    -- The end is fixed here, or a busy table would keep the loop going.
    SELECT min(id), max(id), count(*) INTO next_id, last_id, total FROM users WHERE onboarding_completed IS NULL;

    WHILE next_id <= last_id LOOP
        UPDATE users SET onboarding_completed = true
        WHERE id BETWEEN next_id AND next_id + batch_size - 1 AND onboarding_completed IS NULL;
        GET DIAGNOSTICS changed = ROW_COUNT;
        COMMIT;

        updated := updated + changed;
        IF changed > 0 THEN
            RAISE NOTICE 'Updated % of % users', updated, total;
        END IF;
        next_id := next_id + batch_size;
    END LOOP;
END
$$;

-- Does not block writers. Where it was interrupted it leaves an invalid index of this name: drop that one first.
CREATE INDEX CONCURRENTLY IF NOT EXISTS idx_users_onboarding_completed ON users (onboarding_completed);

COMMENT ON COLUMN users.onboarding_completed IS 'Whether this person has been through onboarding; sign-in goes there if not.';

-- The planner takes the index for rare values once it knows that they are rare.
ANALYZE users;
