-- expand
-- API keys have a name, an end, and the time of their last use; actors of the command line have an id without a name.

ALTER TABLE gridproof.api_keys
    ADD COLUMN name text,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN replaces text COLLATE "C",
    ADD COLUMN last_used_at timestamptz;
-- The name can be forgotten; an end is only ever brought forward, and a revoked key stays revoked.
GRANT UPDATE (name, expires_at, last_used_at) ON gridproof.api_keys TO gridproof_app;

CREATE FUNCTION gridproof.guard_api_key() RETURNS trigger
LANGUAGE plpgsql SET search_path = gridproof, pg_temp AS $$
BEGIN
    IF OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at THEN
        RAISE EXCEPTION 'API key % is revoked and stays so', OLD.key_id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.expires_at IS NOT NULL AND (NEW.expires_at IS NULL OR NEW.expires_at > OLD.expires_at) THEN
        RAISE EXCEPTION 'API key % cannot be valid for longer; rotate it', OLD.key_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER guard_api_key BEFORE UPDATE ON gridproof.api_keys
    FOR EACH ROW EXECUTE FUNCTION gridproof.guard_api_key();

-- Who acts from a terminal. The log holds only the id, so deleting the row forgets the name.
CREATE TABLE gridproof.operators (
    operator_id text COLLATE "C" PRIMARY KEY CHECK (operator_id ~ '^[0-9a-f]{12}$'),
    login text NOT NULL UNIQUE,
    since timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, DELETE ON gridproof.operators TO gridproof_app;

-- Where in the log the administrative acts are: written with each, so that their list needs no index on every event.
CREATE TABLE gridproof.administrative_acts (position bigint PRIMARY KEY);
GRANT SELECT, INSERT ON gridproof.administrative_acts TO gridproof_app;
