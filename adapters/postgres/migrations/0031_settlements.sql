-- expand
-- The documents of settlements. The log holds the digest of each; a row is never changed or removed. A document that no
-- domain event names is left over from a process that ended before it could record one.
CREATE TABLE gridproof.settlements (
    dr_event_id uuid NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    revision integer NOT NULL CHECK (revision >= 0),
    document bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dr_event_id, digest)
);
ALTER TABLE gridproof.settlements ALTER COLUMN document SET STORAGE EXTERNAL;
COMMENT ON COLUMN gridproof.settlements.document IS 'JSON, settlement/1, compressed by zlib; the digest is SHA-256 of the JSON';
GRANT SELECT, INSERT ON gridproof.settlements TO gridproof_app;
