-- expand
-- meter_readings took a word without a sequence number for later than one with: NULL comes first in a descending order, and
-- ORDER BY means the column that is shown. Whoever computes anything does not ask this view.
CREATE OR REPLACE VIEW meter_readings AS
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
ORDER BY quarter, facility_id, meter_id, ts, revision DESC, trust DESC, seq DESC NULLS LAST, kw, kwh_total, incomplete,
    extra COLLATE "C" DESC NULLS LAST;
