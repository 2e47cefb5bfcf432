-- expand
-- A rebuild commits how far it is, stage by stage, so that one that was killed is gone on with by the next.

CREATE TABLE gridproof.projection_rebuilds (
    name text PRIMARY KEY,
    generation integer NOT NULL,
    version integer NOT NULL,
    fold text NOT NULL,
    attached boolean NOT NULL DEFAULT false,
    up_to bigint NOT NULL,
    positions bigint[] NOT NULL,
    domain_events bigint NOT NULL DEFAULT 0,
    rows bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL
);
COMMENT ON COLUMN gridproof.projection_rebuilds.fold IS 'what the rows are folded by; another fold begins anew';
COMMENT ON COLUMN gridproof.projection_rebuilds.up_to IS 'the log as far as it is folded before the rows are attached';
COMMENT ON COLUMN gridproof.projection_rebuilds.positions IS 'how far each part of the log''s streams is; one once attached';
GRANT SELECT, INSERT, UPDATE, DELETE ON gridproof.projection_rebuilds TO gridproof_app;

-- As before, and rows of a stretch may be replaced by those of a later one.
CREATE OR REPLACE FUNCTION gridproof.create_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    rows_table text := format('rm_%s_g%s', projection, generation);
BEGIN
    EXECUTE format(
        'CREATE TABLE gridproof.%I (LIKE gridproof.%I, CHECK (generation = %s)) WITH (fillfactor = 85)',
        rows_table, 'rm_' || projection, generation);
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON gridproof.%I TO gridproof_app', rows_table);
END
$$;

-- The key of rows that are not attached yet, so that they can be looked up; attaching takes it over.
CREATE FUNCTION gridproof.key_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    rows_table text := format('rm_%s_g%s', projection, generation);
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_index WHERE indrelid = to_regclass('gridproof.' || quote_ident(rows_table)) AND indisprimary
    ) THEN
        EXECUTE format('ALTER TABLE gridproof.%I ADD PRIMARY KEY (generation, key)', rows_table);
    END IF;
END
$$;

-- Every generation but the live one and the one that a rebuild is making; answers how many.
CREATE OR REPLACE FUNCTION gridproof.drop_old_generations(projection text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    kept text[];
    old text;
    dropped integer := 0;
BEGIN
    SELECT array_agg(format('rm_%s_g%s', projection, generation)) INTO kept FROM (
        SELECT generation FROM gridproof.projection_positions WHERE name = projection
        UNION SELECT generation FROM gridproof.projection_rebuilds WHERE name = projection
    ) AS used;
    FOR old IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        JOIN pg_class AS parent ON parent.oid = inhparent
        WHERE parent.relname = 'rm_' || projection AND parent.relnamespace = 'gridproof'::regnamespace
            AND child.relname <> ALL (kept)
    LOOP
        EXECUTE format('DROP TABLE gridproof.%I', old);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

-- Forget the rebuild that was begun, and its rows. The live rows are never those.
CREATE FUNCTION gridproof.discard_rebuild(projection text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    begun integer;
BEGIN
    DELETE FROM gridproof.projection_rebuilds WHERE name = projection RETURNING generation INTO begun;
    IF begun IS NOT NULL AND NOT EXISTS (
        SELECT FROM gridproof.projection_positions WHERE name = projection AND generation = begun
    ) THEN
        EXECUTE format('DROP TABLE IF EXISTS gridproof.%I', format('rm_%s_g%s', projection, begun));
    END IF;
END
$$;

REVOKE ALL ON FUNCTION gridproof.key_generation(text, integer), gridproof.discard_rebuild(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gridproof.key_generation(text, integer), gridproof.discard_rebuild(text) TO gridproof_app;
