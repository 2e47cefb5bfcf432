-- expand
-- The audit trail has a row for each domain event: here in columns of fixed types instead of JSON.

-- topic is null in rows that are the projection's own memory: no query sees those. There, key is a facility's stream.
-- Keys come first in the primary key: it is built by comparing them, and all rows of a partition are of one generation.
CREATE TABLE gridproof.rm_audit_steps (
    generation integer NOT NULL,
    key uuid NOT NULL,
    position bigint NOT NULL,
    dr_event_id uuid,
    correlation_id uuid,
    tenant text COLLATE "C",
    facility_id text COLLATE "C",
    who text COLLATE "C",
    topic text COLLATE "C",
    PRIMARY KEY (key, generation)
) PARTITION BY LIST (generation);
CREATE TABLE gridproof.rm_audit_steps_g1 PARTITION OF gridproof.rm_audit_steps FOR VALUES IN (1);
CREATE INDEX rm_audit_steps_order ON gridproof.rm_audit_steps (position);
CREATE INDEX rm_audit_steps_dr_event ON gridproof.rm_audit_steps (dr_event_id, position);
GRANT SELECT, INSERT, UPDATE, DELETE ON gridproof.rm_audit_steps TO gridproof_app;

-- As before, and rows of up to 8 kB stay as they are: compressing each costs more time than all else that is done to it.
CREATE OR REPLACE FUNCTION gridproof.create_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    rows_table text := format('rm_%s_g%s', projection, generation);
BEGIN
    EXECUTE format(
        'CREATE TABLE gridproof.%I (LIKE gridproof.%I, CHECK (generation = %s)) '
        'WITH (fillfactor = 85, toast_tuple_target = 8160)',
        rows_table, 'rm_' || projection, generation);
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON gridproof.%I TO gridproof_app', rows_table);
END
$$;

-- As before, with the columns in the order in which the read model's own key has them. Several processes of a rebuild may
-- want the key at once: who had to wait for the table looks again.
CREATE OR REPLACE FUNCTION gridproof.key_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    rows_table text := format('rm_%s_g%s', projection, generation);
    rows_id oid := to_regclass('gridproof.' || quote_ident(rows_table));
    own_key text;
BEGIN
    IF EXISTS (SELECT FROM pg_index WHERE indrelid = rows_id AND indisprimary) THEN
        RETURN;
    END IF;
    EXECUTE format('LOCK TABLE gridproof.%I IN ACCESS EXCLUSIVE MODE', rows_table);
    IF EXISTS (SELECT FROM pg_index WHERE indrelid = rows_id AND indisprimary) THEN
        RETURN;
    END IF;
    SELECT pg_get_constraintdef(oid) INTO STRICT own_key FROM pg_constraint
        WHERE conrelid = to_regclass('gridproof.' || quote_ident('rm_' || projection)) AND contype = 'p';
    EXECUTE format('ALTER TABLE gridproof.%I ADD %s', rows_table, own_key);
END
$$;

-- The rows that are live now, from here on.
DO $$
DECLARE
    rows_table regclass;
BEGIN
    FOR rows_table IN
        SELECT child.oid::regclass FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        JOIN pg_class AS parent ON parent.oid = inhparent
        WHERE parent.relname LIKE 'rm\_%' AND parent.relkind = 'p' AND child.relkind = 'r'
            AND parent.relnamespace = 'gridproof'::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE %s SET (toast_tuple_target = 8160)', rows_table);
    END LOOP;
END
$$;

-- Whoever may call what drops tables names only those of that projection: of its own name, or of the one it has moved to.
CREATE FUNCTION gridproof.check_stem(projection text, stem text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = gridproof, pg_temp AS $$
BEGIN
    IF stem IS DISTINCT FROM projection
        AND (projection, stem) IS DISTINCT FROM ('audit_trail'::text, 'audit_steps'::text) THEN
        RAISE EXCEPTION 'rm_% holds no rows of the projection %', stem, projection;
    END IF;
END
$$;

-- As those with one parameter; `stem` says of which table: rm_<stem>. Where a projection has moved to a table of another
-- name, its rows in the old one are dropped too.
CREATE FUNCTION gridproof.drop_old_generations(projection text, stem text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    kept text[];
    old text;
    dropped integer := 0;
BEGIN
    PERFORM gridproof.check_stem(projection, stem);
    SELECT array_agg(format('rm_%s_g%s', stem, generation)) INTO kept FROM (
        SELECT generation FROM gridproof.projection_positions WHERE name = projection
        UNION SELECT generation FROM gridproof.projection_rebuilds WHERE name = projection
    ) AS used;
    FOR old IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        JOIN pg_class AS parent ON parent.oid = inhparent
        WHERE parent.relname IN ('rm_' || stem, 'rm_' || projection)
            AND parent.relnamespace = 'gridproof'::regnamespace AND child.relname <> ALL (kept)
    LOOP
        EXECUTE format('DROP TABLE gridproof.%I', old);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

CREATE FUNCTION gridproof.discard_rebuild(projection text, stem text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    begun integer;
BEGIN
    PERFORM gridproof.check_stem(projection, stem);
    DELETE FROM gridproof.projection_rebuilds WHERE name = projection RETURNING generation INTO begun;
    IF begun IS NOT NULL AND NOT EXISTS (
        SELECT FROM gridproof.projection_positions WHERE name = projection AND generation = begun
    ) THEN
        EXECUTE format('DROP TABLE IF EXISTS gridproof.%I, gridproof.%I',
            format('rm_%s_g%s', stem, begun), format('rm_%s_g%s', projection, begun));
    END IF;
END
$$;

REVOKE ALL ON FUNCTION gridproof.check_stem(text, text), gridproof.drop_old_generations(text, text),
    gridproof.discard_rebuild(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gridproof.drop_old_generations(text, text), gridproof.discard_rebuild(text, text)
    TO gridproof_app;
