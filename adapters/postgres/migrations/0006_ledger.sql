-- expand
-- The ledger beside the logs: entries (position and leaf hash of each domain event, 40 bytes) in tiles of 256, how far
-- each log has come, and a copy of each signed checkpoint. The archive has the same, out of reach of this database.

CREATE TABLE gridproof.ledger_tiles (
    log text COLLATE "C" NOT NULL CHECK (log IN ('demand-response', 'forecasts')),
    tile bigint NOT NULL,
    entries bytea NOT NULL CHECK (length(entries) % 40 = 0 AND length(entries) BETWEEN 40 AND 40 * 256),
    PRIMARY KEY (log, tile)
);
-- Hashes do not compress.
ALTER TABLE gridproof.ledger_tiles ALTER COLUMN entries SET STORAGE EXTERNAL;

CREATE TABLE gridproof.ledger_heads (
    log text COLLATE "C" PRIMARY KEY CHECK (log IN ('demand-response', 'forecasts')),
    size bigint NOT NULL DEFAULT 0,
    position bigint NOT NULL DEFAULT 0
);
INSERT INTO gridproof.ledger_heads (log) VALUES ('demand-response'), ('forecasts');

CREATE TABLE gridproof.ledger_checkpoints (
    number bigint PRIMARY KEY CHECK (number > 0),
    signed bytea NOT NULL
);

GRANT SELECT, INSERT ON gridproof.ledger_tiles, gridproof.ledger_checkpoints TO gridproof_app;
GRANT UPDATE (entries) ON gridproof.ledger_tiles TO gridproof_app;
GRANT SELECT, UPDATE (size, position) ON gridproof.ledger_heads TO gridproof_app;
