-- expand
-- Why the readings of a meter were removed. The act itself is in the log, which holds no free text.
CREATE TABLE reading_removals (
    act_id uuid PRIMARY KEY,
    facility_id text COLLATE "C" NOT NULL,
    meter_id text COLLATE "C" NOT NULL,
    reason text NOT NULL CHECK (length(reason) BETWEEN 1 AND 1000),
    removed_at timestamptz NOT NULL
);
COMMENT ON COLUMN reading_removals.act_id IS 'stream of the administrative act';
CREATE INDEX reading_removals_facility ON reading_removals (facility_id, removed_at);

GRANT SELECT, INSERT, DELETE ON reading_removals TO gridproof_app;
