-- expand
-- What the integrity of the log needs in the database: the order of the log whoever writes, an index from times to
-- positions, and the clock that the system was started with.

-- Readers by position rely on writers that exclude each other until they commit: a position becomes visible only after
-- every lower one. Writers take the table's EXCLUSIVE lock, which excludes every other session that inserts. Sessions that
-- do not take it exclude each other here, before the first position is drawn. (To take the table's lock here would
-- deadlock two of them, since each holds the weaker lock of its INSERT already.)
CREATE FUNCTION gridproof.exclude_other_writers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock((7214::bigint << 32) | TG_RELID::bigint);
    RETURN NULL;
END
$$;
CREATE TRIGGER exclude_other_writers BEFORE INSERT ON gridproof.demand_response_events
    FOR EACH STATEMENT EXECUTE FUNCTION gridproof.exclude_other_writers();
CREATE TRIGGER exclude_other_writers BEFORE INSERT ON gridproof.forecasts_events
    FOR EACH STATEMENT EXECUTE FUNCTION gridproof.exclude_other_writers();

-- recorded_at of a stored domain event; NULL where it has none that can be read. It is the first field of the JSON.
CREATE FUNCTION gridproof.recorded_at(state bytea) RETURNS timestamptz LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
DECLARE
    written text := substring(encode(substring(state FROM 1 FOR 64), 'escape') FROM '"recorded_at":"([0-9][0-9T:.Z+-]*)"');
BEGIN
    IF written IS NULL THEN
        written := substring(encode(state, 'escape') FROM '"recorded_at":"([0-9][0-9T:.Z+-]*)"');
    END IF;
    IF written IS NOT NULL AND pg_input_is_valid(written, 'timestamptz') THEN
        RETURN written::timestamptz;
    END IF;
    RETURN NULL;
END
$$;

-- For every 256th domain event of the demand response log, the latest recorded_at up to its position. Both columns only
-- grow, so that the position of a time is found by the index. The rows follow from the log alone and only the function
-- below can add one.
CREATE TABLE gridproof.recorded_times (
    position bigint PRIMARY KEY,
    latest_at timestamptz NOT NULL
);
CREATE INDEX recorded_times_latest_at_idx ON gridproof.recorded_times (latest_at, position);
GRANT SELECT ON gridproof.recorded_times TO gridproof_app;

-- Adds at most `most` rows and returns their number; 0 where the rest is too short, or another session is at it.
CREATE FUNCTION gridproof.extend_recorded_times(most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stride CONSTANT integer := 256;
    reached bigint;
    latest timestamptz;
    following record;
    added integer := 0;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('recorded times', 0)) THEN
        RETURN 0;
    END IF;
    SELECT known.position, known.latest_at INTO reached, latest
        FROM gridproof.recorded_times AS known ORDER BY known.position DESC LIMIT 1;
    reached := coalesce(reached, 0);
    latest := coalesce(latest, '-infinity');
    WHILE added < least(most, 1000) LOOP
        SELECT count(*) AS domain_events, max(notification_id) AS last, max(gridproof.recorded_at(state)) AS latest_at
            INTO following
            FROM (
                SELECT notification_id, state FROM gridproof.demand_response_events
                WHERE notification_id > reached ORDER BY notification_id LIMIT stride
            ) AS next_ones;
        EXIT WHEN following.domain_events < stride;
        reached := following.last;
        latest := greatest(latest, following.latest_at);
        INSERT INTO gridproof.recorded_times (position, latest_at) VALUES (reached, latest);
        added := added + 1;
    END LOOP;
    RETURN added;
END
$$;
REVOKE ALL ON FUNCTION gridproof.extend_recorded_times(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gridproof.extend_recorded_times(integer) TO gridproof_app;

-- The clock that this system was started with for the first time. epoch and started_at are NULL for the machine's own.
CREATE TABLE gridproof.system_clock (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    epoch timestamptz,
    started_at timestamptz,
    speed double precision NOT NULL CHECK (speed > 0),
    stored_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((epoch IS NULL) = (started_at IS NULL))
);
GRANT SELECT, INSERT (epoch, started_at, speed) ON gridproof.system_clock TO gridproof_app;
