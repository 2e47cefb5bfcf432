-- expand
-- How far the raw archive is; derived from its manifest and the telemetry log, so that it may be lost.
CREATE TABLE raw_archive_progress (
    partition smallint PRIMARY KEY,
    log_id text COLLATE "C" NOT NULL,
    stream_seq bigint NOT NULL,
    archived_through timestamptz NOT NULL,
    waiting bigint NOT NULL,
    objects bigint NOT NULL,
    told_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON raw_archive_progress TO gridproof_app;
