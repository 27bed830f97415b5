-- +goose Up
-- +goose StatementBegin
ALTER TABLE users ADD COLUMN active boolean NOT NULL DEFAULT true;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
ALTER TABLE users DROP COLUMN active;
-- +goose StatementEnd
