-- Takes the change back. Who completed onboarding since then is forgotten with the column.

BEGIN;

DROP INDEX IF EXISTS idx_users_onboarding_completed;

ALTER TABLE users DROP COLUMN IF EXISTS onboarding_completed;

COMMIT;
