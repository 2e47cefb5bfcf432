-- expand
-- On which timeline of which cluster the log was written, by range of positions: a row for the first save on each, after
-- the last position of before. Rows are never changed or removed; the one with the highest number is current.
CREATE TABLE gridproof.log_timelines (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log text COLLATE "C" NOT NULL,
    cluster bigint NOT NULL,
    timeline integer NOT NULL CHECK (timeline > 0),
    after_position bigint NOT NULL CHECK (after_position >= 0),
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    accepted_by text
);
COMMENT ON COLUMN gridproof.log_timelines.cluster IS 'the system identifier of pg_control_system()';
COMMENT ON COLUMN gridproof.log_timelines.accepted_by IS
    'the role that said that this cluster continues the log of another (gridproof migrate --accept-cluster)';
CREATE INDEX log_timelines_log_number ON gridproof.log_timelines (log, number);
GRANT SELECT ON gridproof.log_timelines TO gridproof_app;
GRANT INSERT (log, cluster, timeline, after_position) ON gridproof.log_timelines TO gridproof_app;
