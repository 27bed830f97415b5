-- +goose Up
-- +goose StatementBegin
CREATE TABLE users (id bigint PRIMARY KEY, email text NOT NULL);
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DROP TABLE users;
-- +goose StatementEnd
