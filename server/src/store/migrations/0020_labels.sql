-- What an agent.toml says of a database, for waves and selectors: a JSON object.
ALTER TABLE agent_databases ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
