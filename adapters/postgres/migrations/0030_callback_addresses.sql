-- expand
-- Where utilities receive callbacks. What points at a person stands beside the log, in tables that can forget; the log
-- holds ids. The digest is that of the URL, which is too long for an index.
CREATE TABLE gridproof.callback_addresses (
    address_id uuid PRIMARY KEY,
    utility_id text COLLATE "C" NOT NULL,
    url text NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    UNIQUE (utility_id, digest)
);
GRANT SELECT, INSERT, DELETE ON gridproof.callback_addresses TO gridproof_app;
