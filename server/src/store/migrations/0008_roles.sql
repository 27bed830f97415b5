-- What a token's holder may do where, as JSON: ["viewer@*","approver@production"].
ALTER TABLE operator_tokens ADD COLUMN roles TEXT NOT NULL DEFAULT '[]';
-- Those from before roles keep what they could.
UPDATE operator_tokens SET roles = CASE WHEN admin = 1 THEN '["admin@*"]' ELSE '["approver@*"]' END;
