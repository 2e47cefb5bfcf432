-- expand
-- Bounds of what one utility can make the system keep.

-- How much was stored for each utility on a UTC day of the clock. Counters of earlier days are deleted.
CREATE TABLE daily_usage (
    utility_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    day date NOT NULL,
    used bigint NOT NULL,
    PRIMARY KEY (utility_id, kind, day)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON daily_usage TO gridproof_app;

-- Idempotency keys end. The application's role can still delete none: it calls the function below.
CREATE INDEX idempotency_keys_stored_at ON idempotency_keys (stored_at);

-- The head of the log at some moments, by the server's clock: what the relay has not carried out was recorded after the last
-- of them that is not beyond its position.
CREATE TABLE log_head_samples (
    taken_at timestamptz PRIMARY KEY,
    head bigint NOT NULL
);
GRANT SELECT ON log_head_samples TO gridproof_app;

-- Deletes at most `most` keys that are older than `kept` and returns how many. The relay repeats commands under the same key
-- after a restart, so a key stays while its command may be repeated. No key goes within a day: whoever may call this, and is
-- not who should, cannot have a request carried out twice.
CREATE FUNCTION drop_idempotency_keys(kept interval, most integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    carried_out bigint := coalesce((SELECT position FROM reader_positions WHERE reader = 'relay'), 0);
    before timestamptz;
    dropped bigint;
BEGIN
    SELECT least(max(s.taken_at), now() - greatest(kept, interval '1 day')) INTO before
    FROM log_head_samples s WHERE s.head <= carried_out;
    INSERT INTO log_head_samples (taken_at, head)
    SELECT now(), coalesce(max(notification_id), 0) FROM demand_response_events
    ON CONFLICT DO NOTHING;
    IF before IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT k.ctid FROM idempotency_keys k WHERE k.stored_at < before ORDER BY k.stored_at LIMIT most
    ));
    GET DIAGNOSTICS dropped = ROW_COUNT;
    DELETE FROM log_head_samples WHERE taken_at < before;
    RETURN dropped;
END
$$;
REVOKE ALL ON FUNCTION drop_idempotency_keys(interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_idempotency_keys(interval, integer) TO gridproof_app;
