-- expand
-- Beside the ledger's table: the upper hashes of both trees, and a Merkle map of the last version of each stream of the
-- demand response log. Both are computed from the log and the table, and every proof checks them against a signature.

-- The tree's hashes in tiles of 256, each over 256 tiles of the level below; ledger_tiles is level 0.
CREATE TABLE gridproof.ledger_nodes (
    log text COLLATE "C" NOT NULL CHECK (log IN ('demand-response', 'forecasts')),
    level smallint NOT NULL CHECK (level > 0),
    tile bigint NOT NULL,
    hashes bytea NOT NULL CHECK (length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 32 * 256),
    PRIMARY KEY (log, level, tile)
);
ALTER TABLE gridproof.ledger_nodes ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- To find the tile of a position: the first 8 bytes of a tile are the position of its first entry.
CREATE INDEX ledger_tiles_position ON gridproof.ledger_tiles
    (log, (('x' || encode(substring(entries FROM 1 FOR 8), 'hex'))::bit(64)::bigint));

-- Pages of the map, by the first hexadecimal digits of the ids in them, and how far it covers the log.
CREATE TABLE gridproof.ledger_map_pages (
    log text COLLATE "C" NOT NULL CHECK (log = 'demand-response'),
    name text COLLATE "C" NOT NULL,
    page bytea NOT NULL,
    PRIMARY KEY (log, name)
) WITH (fillfactor = 80);
CREATE TABLE gridproof.ledger_maps (
    log text COLLATE "C" PRIMARY KEY CHECK (log = 'demand-response'),
    size bigint NOT NULL DEFAULT 0,
    position bigint NOT NULL DEFAULT 0,
    streams bigint NOT NULL DEFAULT 0,
    root bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (length(root) = 32)
);
INSERT INTO gridproof.ledger_maps (log) VALUES ('demand-response');

GRANT SELECT, INSERT ON gridproof.ledger_nodes, gridproof.ledger_map_pages TO gridproof_app;
GRANT UPDATE (hashes) ON gridproof.ledger_nodes TO gridproof_app;
GRANT UPDATE (page) ON gridproof.ledger_map_pages TO gridproof_app;
GRANT SELECT, UPDATE (size, position, streams, root) ON gridproof.ledger_maps TO gridproof_app;
