-- API keys: who may call, in which role. Of a secret only its SHA-256 is here. A key is never removed, only revoked,
-- so that the audit trail can always name who acted.

CREATE TABLE gridproof.api_keys (
    key_id text COLLATE "C" PRIMARY KEY,
    role text NOT NULL CHECK (role IN ('utility', 'operator', 'auditor', 'dashboard', 'admin')),
    utility_id text CHECK ((role = 'utility') = (utility_id IS NOT NULL)),
    facility_id text CHECK (facility_id IS NULL OR role = 'dashboard'),
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

GRANT SELECT, INSERT, UPDATE (revoked_at) ON gridproof.api_keys TO gridproof_app;
