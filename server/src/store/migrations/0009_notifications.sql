-- What people are told: written with the events that it is about, sent afterwards, in this order for each target.
CREATE TABLE notifications (
    number BIGINT PRIMARY KEY NOT NULL,
    -- Where it goes, as JSON.
    target TEXT NOT NULL,
    deployment TEXT NOT NULL REFERENCES deployments (id),
    -- The notice, as JSON.
    notice TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Not sent before; what has passed until then never is.
    due_at BIGINT NOT NULL,
    -- waiting, delivered, given_up
    state TEXT NOT NULL,
    tries BIGINT NOT NULL,
    -- Of the last try that came to nothing.
    error TEXT,
    -- When it was delivered, or given up.
    settled_at BIGINT
);
CREATE INDEX notifications_state ON notifications (state, target, due_at, number);
INSERT INTO counters (name, value) VALUES ('notification', 0);
