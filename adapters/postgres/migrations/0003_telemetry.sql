-- Telemetry: readings by UTC day, quarter-hour intervals beside imported history, current values.
-- Not domain events: this can be corrected, and rows that are old enough are dropped by the day.

-- (ts, meter, facility) makes a repeated reading a no-op, and new rows go to the end of the index.
CREATE TABLE readings (
    ts timestamptz NOT NULL,
    meter_id text COLLATE "C" NOT NULL,
    facility_id text COLLATE "C" NOT NULL,
    kw double precision,
    kwh_total double precision,
    seq bigint,
    quality text NOT NULL DEFAULT 'measured'
        CHECK (quality IN ('measured', 'estimated', 'substituted', 'unknown')),
    incomplete boolean NOT NULL DEFAULT false,
    extra jsonb,
    CHECK (kw IS NOT NULL OR kwh_total IS NOT NULL),
    PRIMARY KEY (ts, meter_id, facility_id)
) PARTITION BY RANGE (ts);

-- An interval is recomputed from one facility's quarter-hour.
CREATE INDEX readings_facility_ts ON readings (facility_id, ts);

CREATE TABLE telemetry_positions (
    partition smallint PRIMARY KEY,
    stream_seq bigint NOT NULL,
    stored_at timestamptz NOT NULL
);

-- What meters said and what files said stand side by side; the reader picks (domain/interval_block.py).
CREATE TABLE interval_readings (
    facility_id text COLLATE "C" NOT NULL,
    starts_at timestamptz NOT NULL,
    step_s integer NOT NULL CHECK (step_s BETWEEN 1 AND 86400),
    source text COLLATE "C" NOT NULL CHECK (source IN ('meter', 'import')),
    mean_kw double precision,
    kwh double precision,
    coverage_pct real NOT NULL,
    temp_c real,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (facility_id, starts_at, step_s, source)
);

CREATE TABLE current_values (
    facility_id text COLLATE "C" NOT NULL,
    meter_id text COLLATE "C" NOT NULL,
    kw double precision,
    kw_at timestamptz,
    kwh_total double precision,
    kwh_total_at timestamptz,
    first_reading_at timestamptz NOT NULL,
    newest_reading_at timestamptz NOT NULL,
    PRIMARY KEY (facility_id, meter_id)
) WITH (fillfactor = 70);

-- The application may write rows but owns no table, so the owner makes the day's partition for it.
-- ATTACH rather than PARTITION OF: readers are not locked out.
CREATE FUNCTION prepare_readings_day(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    name text := 'readings_' || to_char(day, 'YYYYMMDD');
BEGIN
    IF day < date '2000-01-01' OR day > date '2099-12-31' THEN
        RAISE EXCEPTION 'no readings are kept for %', day USING ERRCODE = 'datetime_field_overflow';
    END IF;
    IF to_regclass('gridproof.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('gridproof.prepare_readings_day'));
    -- Not to_regclass again: its cached "no" survives the wait for the lock.
    IF EXISTS (
        SELECT FROM pg_class WHERE relname = name AND relnamespace = 'gridproof'::regnamespace
    ) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE gridproof.%I (LIKE gridproof.readings INCLUDING ALL)', name);
    EXECUTE format(
        'ALTER TABLE gridproof.readings ATTACH PARTITION gridproof.%I FOR VALUES FROM (%L) TO (%L)',
        name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC'
    );
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION prepare_readings_day(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION prepare_readings_day(date) TO gridproof_app;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON readings, telemetry_positions, interval_readings, current_values TO gridproof_app;
