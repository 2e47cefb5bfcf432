-- expand
-- Readings in chunks: one row holds what came together of a facility's minute, in arrays. A row a reading cost two index entries
-- each. Words on one moment stand side by side until settling makes one of them (domain/reading_columns.py).

CREATE TABLE reading_chunks (
    quarter timestamptz NOT NULL,
    facility_id text COLLATE "C" NOT NULL,
    meter_ids text[] COLLATE "C" NOT NULL,
    ts timestamptz[] NOT NULL,
    kw double precision[] NOT NULL,
    kwh_total double precision[] NOT NULL,
    seq bigint[] NOT NULL,
    trust smallint[],
    revision integer[],
    incomplete boolean[],
    extra text[]
) PARTITION BY RANGE (quarter);
COMMENT ON COLUMN reading_chunks.quarter IS 'the start of the quarter-hour (UTC) that all of them lie in';
COMMENT ON COLUMN reading_chunks.ts IS 'in order, all of one minute';
COMMENT ON COLUMN reading_chunks.kw IS 'NaN where a reading has none, as in kwh_total; in seq it is -1';
COMMENT ON COLUMN reading_chunks.trust IS
    'NULL: all measured; else the place in missing, bad, unknown, estimated, substituted, measured';
COMMENT ON COLUMN reading_chunks.revision IS 'NULL: all 0, as incomplete: none, and extra: none';
-- The quarter first: what is written now lies together, however long the day.
CREATE INDEX reading_chunks_place ON reading_chunks (quarter, facility_id, (ts[1]));

GRANT SELECT, INSERT, DELETE ON reading_chunks TO gridproof_app;

-- As in 0012, for chunks.
CREATE OR REPLACE FUNCTION prepare_readings_day(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    name text := 'reading_chunks_' || to_char(day, 'YYYYMMDD');
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
    EXECUTE format('CREATE TABLE gridproof.%I (LIKE gridproof.reading_chunks INCLUDING ALL)', name);
    EXECUTE format(
        'ALTER TABLE gridproof.reading_chunks ATTACH PARTITION gridproof.%I FOR VALUES FROM (%L) TO (%L)',
        name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC'
    );
    INSERT INTO gridproof.readings_days AS d (day, prepared_at) VALUES (prepare_readings_day.day, now())
    ON CONFLICT ON CONSTRAINT readings_days_pkey DO UPDATE SET prepared_at = EXCLUDED.prepared_at;
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION drop_readings_day(day date, kept interval) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp SET lock_timeout = '1s' AS $$
DECLARE
    name text := 'reading_chunks_' || to_char(day, 'YYYYMMDD');
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
            LOCK TABLE ONLY gridproof.reading_chunks IN ACCESS EXCLUSIVE MODE;
            LOCK TABLE ONLY gridproof.readings IN ACCESS EXCLUSIVE MODE;
        END IF;
    END LOOP;
    EXECUTE format('DROP TABLE IF EXISTS gridproof.%I', name);
    EXECUTE format('DROP TABLE IF EXISTS gridproof.%I', 'readings_' || to_char(day, 'YYYYMMDD'));
    DELETE FROM gridproof.readings_days d WHERE d.day = drop_readings_day.day;
    RETURN true;
END
$$;

-- Reading by reading, of each moment of a meter the word that counts (domain.meter_reading.precedence). For people: ask for
-- facilities and quarters, by which it is found.
CREATE VIEW meter_readings AS
SELECT DISTINCT ON (quarter, facility_id, meter_id, ts) ts, meter_id, facility_id, nullif(kw, 'NaN') AS kw,
    nullif(kwh_total, 'NaN') AS kwh_total, nullif(seq, -1) AS seq,
    (ARRAY['missing', 'bad', 'unknown', 'estimated', 'substituted', 'measured'])[trust + 1] AS quality,
    incomplete, extra, revision, quarter
FROM (
    SELECT c.quarter, c.facility_id, r.meter_id COLLATE "C" AS meter_id, r.ts, r.kw, r.kwh_total, r.seq,
        coalesce(r.trust, 5) AS trust, coalesce(r.revision, 0) AS revision,
        coalesce(r.incomplete, false) AS incomplete, r.extra
    FROM reading_chunks c,
        unnest(c.meter_ids, c.ts, c.kw, c.kwh_total, c.seq, c.trust, c.revision, c.incomplete, c.extra)
            AS r (meter_id, ts, kw, kwh_total, seq, trust, revision, incomplete, extra)
) said
-- NaN is greater than every number, so that a value goes before none.
ORDER BY quarter, facility_id, meter_id, ts, revision DESC, trust DESC, seq DESC, kw, kwh_total, incomplete,
    extra COLLATE "C" DESC NULLS LAST;
GRANT SELECT ON meter_readings TO gridproof_app;
