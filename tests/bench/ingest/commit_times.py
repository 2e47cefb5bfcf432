"""Commit times of readings. Rows are rewritten later, so their own commit times would be wrong.

A trigger copies inserts into recent_readings in the same transaction; PostgreSQL has the commit times
(`track_commit_timestamp`). The cost, some tenths of a microsecond per reading, is included in the figures.
"""

import psycopg

_KEEP = """
CREATE SCHEMA IF NOT EXISTS measuring;
CREATE TABLE measuring.added (first_at timestamptz, facility_ids text[] COLLATE "C", meter_ids text[], ts timestamptz[],
    seq bigint[]);
CREATE INDEX ON measuring.added USING brin (first_at) WITH (pages_per_range = 8);
CREATE FUNCTION measuring.keep() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO measuring.added SELECT ts[1], facility_ids, meter_ids, ts, seq FROM rows_added;
    RETURN NULL;
END
$$;
CREATE TRIGGER measured AFTER INSERT ON gridproof.recent_readings REFERENCING NEW TABLE AS rows_added
    FOR EACH STATEMENT EXECUTE FUNCTION measuring.keep();
"""

COMMITTED = """
    SELECT facility_id, meter_id, ts, min(committed_at) AS committed_at FROM (
    SELECT c.facility_id, t.meter_id, t.ts, t.seq, pg_xact_commit_timestamp(c.xmin) AS committed_at
    FROM gridproof.reading_chunks c, unnest(c.meter_ids, c.ts, c.seq) AS t (meter_id, ts, seq)
    WHERE c.quarter > %(since)s::timestamptz - interval '15 minutes' AND c.quarter <= %(until)s
        AND c.ts[1] > %(since)s::timestamptz - interval '1 minute' AND c.ts[1] <= %(until)s
    UNION ALL
    SELECT t.facility_id, t.meter_id, t.ts, t.seq, pg_xact_commit_timestamp(a.xmin)
    FROM measuring.added a, unnest(a.facility_ids, a.meter_ids, a.ts, a.seq) AS t (facility_id, meter_id, ts, seq)
    WHERE a.first_at > %(since)s::timestamptz - interval '1 minute'
        AND a.first_at < %(until)s::timestamptz + interval '1 minute'
) AS said WHERE facility_id COLLATE "C" >= %(first)s AND facility_id COLLATE "C" < %(last)s
    AND ts >= %(since)s AND ts <= %(until)s AND seq >= 0
GROUP BY facility_id, meter_id, ts
"""
"""The first commit of each reading measured in a time range, of the facilities from `first` to `last`."""


def keep_commit_times(connection: psycopg.Connection) -> None:
    """Install the trigger. Needs a superuser, and must run before there are readings."""
    connection.execute(_KEEP.encode())
    connection.commit()
