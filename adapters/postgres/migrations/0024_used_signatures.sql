-- expand
-- Signatures of webhook calls that bind only a time and a body (v1): each is used for one request. Until when a utility may
-- send them; null: never. Those recorded before this release may go on until the operator names a date.
ALTER TABLE utilities ADD COLUMN webhook_v1_until timestamptz;
UPDATE utilities SET webhook_v1_until = '9999-12-31T00:00:00Z';

CREATE TABLE used_signatures (
    utility_id text COLLATE "C" NOT NULL,
    signature bytea NOT NULL CHECK (length(signature) = 32),
    request bytea NOT NULL CHECK (length(request) = 32),
    used_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (utility_id, signature)
);
COMMENT ON COLUMN used_signatures.request IS 'SHA-256 of method, address, idempotency key and body; the same again is a repeat';
CREATE INDEX used_signatures_by_time ON used_signatures (used_at);
GRANT SELECT, INSERT, UPDATE (used_at), DELETE ON used_signatures TO gridproof_app;

-- What a web process writes from time to time, to know whether it can.
CREATE TABLE write_probes (
    process text COLLATE "C" PRIMARY KEY,
    written_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE (written_at) ON write_probes TO gridproof_app;
