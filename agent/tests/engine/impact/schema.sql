CREATE SCHEMA app;
CREATE TABLE fired (name text);
CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.fired VALUES (TG_NAME);
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE FUNCTION app.token() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT md5(random()::text) $$;
CREATE FUNCTION app.zero() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 0 $$;
CREATE FUNCTION app.defaulted(a int, b int DEFAULT 1) RETURNS int LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN a + b; END $$;
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN plain_text AS text;
CREATE DOMAIN short_text AS varchar(10);
CREATE TYPE mood AS ENUM ('sad', 'ok');

CREATE TABLE tenants (id int PRIMARY KEY, name text UNIQUE, code int NOT NULL UNIQUE);
CREATE TABLE users (
    id int PRIMARY KEY,
    tenant_id int CONSTRAINT users_tenant REFERENCES tenants (id),
    email varchar(100),
    name varchar(50),
    title varchar(50),
    watched text,
    note text,
    fixed char(10),
    amount numeric(10, 2),
    small int,
    big bigint,
    at timestamp,
    atz timestamptz,
    at3 timestamp(3),
    bits varbit(8),
    network cidr,
    feeling mood,
    doc text COLLATE "C",
    doubled int GENERATED ALWAYS AS (small * 2) STORED,
    known int CONSTRAINT known_not_null CHECK (known IS NOT NULL),
    checked varchar(10) CONSTRAINT checked_length CHECK (length(checked) > 0),
    maybe int,
    ranged int,
    CONSTRAINT ranged_two CHECK (ranged IS NOT NULL AND ranged > 0)
);
CREATE INDEX users_email ON users (email);
CREATE INDEX users_at ON users (at);
CREATE INDEX users_lower ON users (lower(title));
CREATE UNIQUE INDEX users_big ON users (big);
CREATE INDEX users_tenant_id ON users (tenant_id);
CREATE TABLE orders (
    id int PRIMARY KEY,
    user_id int CONSTRAINT orders_user REFERENCES users (id) ON DELETE CASCADE,
    tenant_code int CONSTRAINT orders_tenant REFERENCES tenants (code) ON DELETE SET NULL,
    total int
);
CREATE TABLE notes (order_id int CONSTRAINT notes_order REFERENCES orders (id) ON DELETE CASCADE, text text);
CREATE TABLE unchecked (id int, user_id int, a int);
ALTER TABLE unchecked ADD CONSTRAINT unchecked_a CHECK (a > 0) NOT VALID;
ALTER TABLE unchecked ADD CONSTRAINT unchecked_user FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;
ALTER TABLE unchecked ADD CONSTRAINT unchecked_id CHECK (id IS NOT NULL) NOT VALID;
CREATE UNIQUE INDEX unchecked_idx ON unchecked (a);
CREATE TABLE app."Odd ""Table" ("Id" int PRIMARY KEY, "select" text);

CREATE TABLE events (id int, at date NOT NULL, user_id int, text varchar(20), value int) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_rest PARTITION OF events DEFAULT;
CREATE INDEX events_value ON events (value);
ALTER TABLE events ADD CONSTRAINT events_user FOREIGN KEY (user_id) REFERENCES users (id);
CREATE TABLE events_new (id int, at date NOT NULL, user_id int, text varchar(20), value int);
CREATE TABLE regions (id int PRIMARY KEY, name text) PARTITION BY LIST (id);
CREATE TABLE regions_1 PARTITION OF regions FOR VALUES IN (1);
CREATE TABLE regions_2 PARTITION OF regions FOR VALUES IN (2);
CREATE TABLE regions_3 PARTITION OF regions FOR VALUES IN (3);
CREATE TABLE regions_new (id int PRIMARY KEY, name text);
CREATE TABLE shops (id int PRIMARY KEY, region_id int CONSTRAINT shops_region REFERENCES regions (id));

CREATE TABLE animals (id int, name text CONSTRAINT animals_name CHECK (name <> ''));
CREATE TABLE cats (lives int) INHERITS (animals);
CREATE TABLE dogs (id int, name text CONSTRAINT animals_name CHECK (name <> ''), breed text);

CREATE VIEW user_names AS SELECT u.id, u.name, t.name AS tenant FROM users u JOIN tenants t ON t.id = u.tenant_id;
CREATE VIEW simple_orders AS SELECT id, total FROM orders;
CREATE MATERIALIZED VIEW user_counts AS SELECT tenant_id, count(*) FROM users GROUP BY tenant_id;
CREATE UNIQUE INDEX user_counts_key ON user_counts (tenant_id);
CREATE MATERIALIZED VIEW through_a_view AS SELECT count(*) FROM user_names;

CREATE TRIGGER users_row AFTER INSERT OR UPDATE OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TRIGGER users_email_only BEFORE UPDATE OF watched ON users FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TRIGGER users_statement AFTER UPDATE OR TRUNCATE ON users FOR EACH STATEMENT EXECUTE FUNCTION log_it();
CREATE TRIGGER users_off BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION log_it();
ALTER TABLE users DISABLE TRIGGER users_off;
CREATE TRIGGER users_replica BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION log_it();
ALTER TABLE users ENABLE REPLICA TRIGGER users_replica;
CREATE TRIGGER orders_always BEFORE INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION log_it();
ALTER TABLE orders ENABLE ALWAYS TRIGGER orders_always;
CREATE TRIGGER notes_gone AFTER DELETE ON notes FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TRIGGER notes_truncated BEFORE TRUNCATE ON notes FOR EACH STATEMENT EXECUTE FUNCTION log_it();
CREATE TRIGGER events_row AFTER INSERT OR UPDATE ON events FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TRIGGER events_statement AFTER INSERT OR UPDATE ON events FOR EACH STATEMENT EXECUTE FUNCTION log_it();
CREATE TRIGGER events_2_only AFTER UPDATE ON events_2 FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE RULE cats_rule AS ON DELETE TO cats WHERE OLD.lives > 100 DO INSTEAD NOTHING;
CREATE POLICY users_policy ON users USING (true);
CREATE STATISTICS users_stats ON small, big FROM users;

INSERT INTO tenants SELECT n, 'tenant ' || n, n FROM generate_series(1, 6) n;
INSERT INTO users (id, tenant_id, email, name, note, fixed, amount, small, big, at, atz, known, checked, ranged, feeling)
    SELECT n, n % 5 + 1, 'u' || n, 'name', 'note', 'fixed', n, n, n, now(), now(), n, 'x', 1, 'ok' FROM generate_series(1, 500) n;
INSERT INTO orders SELECT n, n, n % 5 + 1, n FROM generate_series(1, 300) n;
INSERT INTO notes SELECT n, 'x' FROM generate_series(1, 100) n;
INSERT INTO unchecked SELECT n, n, n FROM generate_series(1, 100) n;
INSERT INTO events SELECT n, date '2024-01-01' + n * 2, n % 400 + 1, 'x', n FROM generate_series(1, 360) n;
INSERT INTO events_rest VALUES (1, '2030-01-01', 1, 'x', 1);
INSERT INTO events_new VALUES (1, '2026-02-02', 1, 'x', 1);
INSERT INTO regions VALUES (1, 'a'), (2, 'b'), (3, 'c');
INSERT INTO shops SELECT n, n % 2 + 1 FROM generate_series(1, 50) n;
INSERT INTO animals SELECT n, 'x' FROM generate_series(1, 50) n;
INSERT INTO cats SELECT n, 'x', 9 FROM generate_series(1, 50) n;
INSERT INTO app."Odd ""Table" VALUES (1, 'a');
REFRESH MATERIALIZED VIEW user_counts;
TRUNCATE fired;
ANALYZE;
