-- expand
-- What a web process writes from time to time, to know whether it can.
CREATE TABLE write_probes (
    process text COLLATE "C" PRIMARY KEY,
    written_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE (written_at) ON write_probes TO gridproof_app;
