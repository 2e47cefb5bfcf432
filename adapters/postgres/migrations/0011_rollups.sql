-- expand
-- Rollups by minute, quarter-hour and hour in a table of their own, settled once a quarter-hour is over; corrected readings.

-- A meter may say that a reading is none, and then it has no value; the domain checks the words.
ALTER TABLE readings ADD COLUMN revision integer NOT NULL DEFAULT 0;
ALTER TABLE readings DROP CONSTRAINT readings_check;
ALTER TABLE readings DROP CONSTRAINT readings_quality_check;

CREATE TABLE rollups (
    facility_id text COLLATE "C" NOT NULL,
    step_s integer NOT NULL CHECK (step_s IN (60, 900, 3600)),
    starts_at timestamptz NOT NULL,
    mean_kw double precision,
    kwh double precision,
    min_kw double precision,
    max_kw double precision,
    coverage_pct real NOT NULL,
    readings integer NOT NULL,
    replaced integer NOT NULL,
    rows_seen integer NOT NULL,
    settled_at timestamptz NOT NULL,
    PRIMARY KEY (facility_id, step_s, starts_at)
);
COMMENT ON COLUMN rollups.replaced IS 'how many of the readings are estimates in place of measurements';
COMMENT ON COLUMN rollups.rows_seen IS
    'readings of any quality in the quarter-hour; where fewer are left, retention took them, and the row stays';
CREATE INDEX rollups_starts_at ON rollups USING brin (starts_at);

INSERT INTO rollups
SELECT facility_id, 900, starts_at, mean_kw, kwh, NULL, NULL, coverage_pct, 0, 0, 0, updated_at
FROM interval_readings WHERE source = 'meter' AND step_s = 900;

-- Quarter-hours with news in them: readers compute these themselves until they are settled.
CREATE TABLE unsettled_quarters (
    facility_id text COLLATE "C" NOT NULL,
    starts_at timestamptz NOT NULL,
    partition smallint NOT NULL,
    PRIMARY KEY (facility_id, starts_at)
);
CREATE INDEX unsettled_quarters_partition ON unsettled_quarters (partition, starts_at);

-- In which quarter-hours of a UTC day a meter said anything: by that it belongs to its facility's sum.
CREATE TABLE meter_days (
    facility_id text COLLATE "C" NOT NULL,
    day date NOT NULL,
    meter_id text COLLATE "C" NOT NULL,
    quarters bit(96) NOT NULL,
    PRIMARY KEY (facility_id, day, meter_id)
);
INSERT INTO meter_days
SELECT facility_id, (newest_reading_at AT TIME ZONE 'UTC')::date, meter_id,
    set_bit(repeat('0', 96)::bit(96), (extract(epoch FROM newest_reading_at)::bigint % 86400 / 900)::int, 1)
FROM current_values;

-- What became another after it was settled; read in order by whoever has used the old value.
CREATE TABLE telemetry_corrections (
    correction_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    facility_id text COLLATE "C" NOT NULL,
    starts_at timestamptz NOT NULL,
    old_mean_kw double precision,
    new_mean_kw double precision,
    old_kwh double precision,
    new_kwh double precision,
    corrected_at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON rollups, unsettled_quarters, meter_days TO gridproof_app;
GRANT SELECT, DELETE, INSERT (facility_id, starts_at, old_mean_kw, new_mean_kw, old_kwh, new_kwh, corrected_at)
    ON telemetry_corrections TO gridproof_app;
