-- expand
-- Retention of telemetry: a day of readings goes as a whole, by its partition; old intervals are found without an index on
-- every row.

-- When each day's partition was made: a day that was brought back from the archive stays for a while.
CREATE TABLE readings_days (
    day date PRIMARY KEY,
    prepared_at timestamptz NOT NULL
);

INSERT INTO readings_days (day, prepared_at)
SELECT to_date(substr(c.relname, 10), 'YYYYMMDD'), '-infinity'
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'gridproof.readings'::regclass AND c.relname ~ '^readings_\d{8}$';

-- As in 0003, and now it notes the day.
CREATE OR REPLACE FUNCTION prepare_readings_day(day date) RETURNS boolean
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
    INSERT INTO gridproof.readings_days AS d (day, prepared_at) VALUES (prepare_readings_day.day, now())
    ON CONFLICT ON CONSTRAINT readings_days_pkey DO UPDATE SET prepared_at = EXCLUDED.prepared_at;
    RETURN true;
END
$$;

-- Whether the day is gone now. A day that was made less than `kept` ago, by the server's own clock, stays, and so does one
-- of which a quarter-hour is not settled: its rollups could never be made again. Readers and writers wait for the lock, so
-- it is given up after a second and tried again later. No retention is shorter than two days: whoever may call this, and is
-- not who should, cannot take what is measured now.
CREATE FUNCTION drop_readings_day(day date, kept interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    name text := 'readings_' || to_char(day, 'YYYYMMDD');
    begins timestamptz := day::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF day > (now() AT TIME ZONE 'UTC')::date - 2 THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('gridproof.prepare_readings_day'));
    FOR look IN 1..2 LOOP
        IF EXISTS (
            SELECT FROM gridproof.readings_days d
            WHERE d.day = drop_readings_day.day AND d.prepared_at > now() - kept
        ) OR EXISTS (
            SELECT FROM gridproof.unsettled_quarters u
            WHERE u.starts_at > begins - interval '30 minutes' AND u.starts_at <= begins + interval '1 day'
        ) THEN
            RETURN false;
        END IF;
        -- And again when nobody can write any more.
        IF look = 1 THEN
            LOCK TABLE ONLY gridproof.readings IN ACCESS EXCLUSIVE MODE;
        END IF;
    END LOOP;
    EXECUTE format('DROP TABLE IF EXISTS gridproof.%I', name);
    DELETE FROM gridproof.readings_days d WHERE d.day = drop_readings_day.day;
    RETURN true;
END
$$;

REVOKE ALL ON FUNCTION drop_readings_day(date, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_readings_day(date, interval) TO gridproof_app;
GRANT SELECT ON readings_days TO gridproof_app;

-- Intervals come in nearly in the order of time: a few pages tell where the oldest are.
CREATE INDEX interval_readings_starts_at ON interval_readings USING brin (starts_at);
