-- expand
-- Readings of meters that send alone, for a quarter of a minute: as they came, a row for all of a batch. Then they are filed, a chunk for
-- what a facility said meanwhile. A row and an entry of an index for each of them cost more than all the rest of its way.
-- Nothing in here is of a quarter-hour that was settled. Whoever reads must know of it: upgrade what reads before `aggregate`.

CREATE TABLE recent_readings (
    partition smallint NOT NULL,
    places integer[] NOT NULL,
    facility_ids text[] COLLATE "C" NOT NULL,
    meter_ids text[] COLLATE "C" NOT NULL,
    ts timestamptz[] NOT NULL,
    kw double precision[] NOT NULL,
    kwh_total double precision[] NOT NULL,
    seq bigint[] NOT NULL
) WITH (
    -- All of it is new every quarter of a minute.
    toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);
COMMENT ON COLUMN recent_readings.places IS
    'the CRC-32 of each facility''s id, by which a reader passes over what is not about its own';
COMMENT ON COLUMN recent_readings.kw IS 'NaN where a reading has none, as in kwh_total; in seq it is -1';
ALTER TABLE recent_readings ALTER COLUMN places SET STORAGE MAIN,
    ALTER COLUMN facility_ids SET STORAGE EXTERNAL, ALTER COLUMN meter_ids SET STORAGE EXTERNAL,
    ALTER COLUMN ts SET STORAGE EXTERNAL, ALTER COLUMN kw SET STORAGE EXTERNAL,
    ALTER COLUMN kwh_total SET STORAGE EXTERNAL, ALTER COLUMN seq SET STORAGE EXTERNAL;
CREATE INDEX recent_readings_partition ON recent_readings (partition);
GRANT SELECT, INSERT, DELETE ON recent_readings TO gridproof_app;

ALTER TABLE telemetry_positions ADD COLUMN recent integer NOT NULL DEFAULT 0, ADD COLUMN recent_since timestamptz;
COMMENT ON COLUMN telemetry_positions.recent IS 'at most so many readings of the partition are in recent_readings';

CREATE VIEW stored_chunks AS
SELECT quarter, facility_id, meter_ids, ts, kw, kwh_total, seq, trust, revision, incomplete, extra FROM reading_chunks
UNION ALL
SELECT date_bin('15 minutes', r.ts, 'epoch'), r.facility_id COLLATE "C", ARRAY[r.meter_id COLLATE "C"], ARRAY[r.ts], ARRAY[r.kw],
    ARRAY[r.kwh_total], ARRAY[r.seq], NULL::smallint[], NULL::integer[], NULL::boolean[], NULL::text[]
FROM recent_readings b, unnest(b.facility_ids, b.meter_ids, b.ts, b.kw, b.kwh_total, b.seq)
    AS r (facility_id, meter_id, ts, kw, kwh_total, seq);
GRANT SELECT ON stored_chunks TO gridproof_app;

CREATE OR REPLACE VIEW meter_readings AS
SELECT DISTINCT ON (quarter, facility_id, meter_id, ts) ts, meter_id, facility_id, nullif(kw, 'NaN') AS kw,
    nullif(kwh_total, 'NaN') AS kwh_total, nullif(seq, -1) AS seq,
    (ARRAY['missing', 'bad', 'unknown', 'estimated', 'substituted', 'measured'])[trust + 1] AS quality,
    incomplete, extra, revision, quarter
FROM (
    SELECT c.quarter, c.facility_id, r.meter_id COLLATE "C" AS meter_id, r.ts, r.kw, r.kwh_total, r.seq,
        coalesce(r.trust, 5) AS trust, coalesce(r.revision, 0) AS revision,
        coalesce(r.incomplete, false) AS incomplete, r.extra
    FROM stored_chunks c,
        unnest(c.meter_ids, c.ts, c.kw, c.kwh_total, c.seq, c.trust, c.revision, c.incomplete, c.extra)
            AS r (meter_id, ts, kw, kwh_total, seq, trust, revision, incomplete, extra)
) said
ORDER BY quarter, facility_id, meter_id, ts, revision DESC, trust DESC, seq DESC NULLS LAST, kw, kwh_total, incomplete,
    extra COLLATE "C" DESC NULLS LAST;
