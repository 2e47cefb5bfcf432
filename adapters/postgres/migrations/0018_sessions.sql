-- expand
-- People who signed in with an API key. Of a token only its SHA-256 is here; a session ends by its time, by signing out,
-- or with its key.
CREATE TABLE sessions (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    key_id text COLLATE "C" NOT NULL REFERENCES api_keys,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_of_a_key ON sessions (key_id, expires_at);
CREATE INDEX sessions_ending ON sessions (expires_at);

GRANT SELECT, INSERT, DELETE ON sessions TO gridproof_app;
