-- expand
-- API keys of owners: each sees one facility, and opts it out and in. A trigger checks what two constraints checked, which
-- know nothing of that role.

ALTER TABLE gridproof.api_keys DROP CONSTRAINT api_keys_role_check;
ALTER TABLE gridproof.api_keys DROP CONSTRAINT api_keys_check1;

CREATE FUNCTION gridproof.check_api_key_scope() RETURNS trigger
LANGUAGE plpgsql SET search_path = gridproof, pg_temp AS $$
BEGIN
    IF NEW.role NOT IN ('utility', 'operator', 'auditor', 'dashboard', 'owner', 'admin') THEN
        RAISE EXCEPTION 'there is no role %', NEW.role USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.facility_id IS NULL AND NEW.role = 'owner'
        OR NEW.facility_id IS NOT NULL AND NEW.role NOT IN ('dashboard', 'owner') THEN
        RAISE EXCEPTION 'the facility does not fit the role %', NEW.role USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
-- Neither column is ever updated.
CREATE TRIGGER check_api_key_scope BEFORE INSERT ON gridproof.api_keys
    FOR EACH ROW EXECUTE FUNCTION gridproof.check_api_key_scope();
