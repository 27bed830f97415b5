-- Sign-in sends people who have not finished onboarding to it, by users.onboarding_completed.
-- Whoever has an account today has been using the product: that counts as complete. New accounts begin incomplete.
--
-- One transaction: all of it or nothing. The table is locked until its end, so this is for small tables;
-- up.batch.sql does the same to large ones. May be run again: it only fills in what is missing.

BEGIN;

-- Without a default the new column costs nothing at any size; the default is for rows that come later.
ALTER TABLE users
    ADD COLUMN IF NOT EXISTS onboarding_completed BOOLEAN,
    ALTER COLUMN onboarding_completed SET DEFAULT false;

UPDATE users SET onboarding_completed = true WHERE onboarding_completed IS NULL;

CREATE INDEX IF NOT EXISTS idx_users_onboarding_completed ON users (onboarding_completed);

COMMENT ON COLUMN users.onboarding_completed IS 'Whether this person has been through onboarding; sign-in goes there if not.';

-- The planner takes the index for rare values once it knows that they are rare.
ANALYZE users;

COMMIT;
