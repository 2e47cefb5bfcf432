-- expand
-- A revocation is final. The application's role may set revoked_at, and could otherwise take it back.
CREATE FUNCTION gridproof.keep_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the key % is revoked, which is final; create another one', OLD.key_id;
END
$$;

CREATE TRIGGER revocation_is_final BEFORE UPDATE ON gridproof.api_keys
    FOR EACH ROW WHEN (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at)
    EXECUTE FUNCTION gridproof.keep_revocation();
