-- contract: needs release 0.1
-- Each generation of a read model's rows is a partition of its table. A rebuild fills the next one without keys, attaches
-- it (which builds the keys; readers and the live runner go on meanwhile) and makes it the live one by one update of
-- projection_positions, all in one transaction: killed at any point it leaves nothing behind.

-- For the migration that adds a read model: `SELECT gridproof.create_read_model('x');` and then its indexes.
CREATE FUNCTION gridproof.create_read_model(projection text) RETURNS void
LANGUAGE plpgsql SET search_path = gridproof, pg_temp AS $$
BEGIN
    EXECUTE format(
        'CREATE TABLE gridproof.%I (generation integer NOT NULL, key text COLLATE "C" NOT NULL, '
        'sort_key text COLLATE "C", tenant text, row jsonb NOT NULL, position bigint NOT NULL, '
        'PRIMARY KEY (generation, key)) PARTITION BY LIST (generation)', 'rm_' || projection);
    EXECUTE format('CREATE TABLE gridproof.%I PARTITION OF gridproof.%I FOR VALUES IN (1)',
        'rm_' || projection || '_g1', 'rm_' || projection);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON gridproof.%I TO gridproof_app', 'rm_' || projection);
END
$$;
REVOKE ALL ON FUNCTION gridproof.create_read_model(text) FROM PUBLIC;

-- The tables of 0002 become the partitions of their live generation.
DO $$
DECLARE
    projection text;
    live integer;
BEGIN
    FOREACH projection IN ARRAY
        ARRAY['dr_events', 'dispatches', 'facilities', 'portfolio', 'audit_trail', 'deadlines']
    LOOP
        SELECT generation INTO live FROM gridproof.projection_positions WHERE name = projection;
        live := coalesce(live, 1);
        EXECUTE format('DELETE FROM gridproof.rm_%s WHERE generation <> %s', projection, live);
        EXECUTE format('ALTER TABLE gridproof.rm_%1$s RENAME TO rm_%1$s_g%2$s', projection, live);
        EXECUTE format('ALTER TABLE gridproof.rm_%s_g%2$s ADD CHECK (generation = %2$s)', projection, live);
        EXECUTE format(
            'CREATE TABLE gridproof.rm_%1$s (LIKE gridproof.rm_%1$s_g%2$s INCLUDING INDEXES) '
            'PARTITION BY LIST (generation)', projection, live);
        EXECUTE format(
            'ALTER TABLE gridproof.rm_%1$s ATTACH PARTITION gridproof.rm_%1$s_g%2$s FOR VALUES IN (%2$s)',
            projection, live);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON gridproof.rm_%s TO gridproof_app', projection);
    END LOOP;
END
$$;

-- The application owns no table, so the owner makes, attaches and drops partitions for it. None of the three can touch
-- the live rows.
CREATE FUNCTION gridproof.create_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    rows_table text := format('rm_%s_g%s', projection, generation);
BEGIN
    EXECUTE format(
        'CREATE TABLE gridproof.%I (LIKE gridproof.%I, CHECK (generation = %s)) WITH (fillfactor = 85)',
        rows_table, 'rm_' || projection, generation);
    EXECUTE format('GRANT SELECT, INSERT ON gridproof.%I TO gridproof_app', rows_table);
END
$$;

CREATE FUNCTION gridproof.attach_generation(projection text, generation integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE gridproof.%I ATTACH PARTITION gridproof.%I FOR VALUES IN (%s)',
        'rm_' || projection, format('rm_%s_g%s', projection, generation), generation);
END
$$;

-- Drops every generation but the live one; answers how many.
CREATE FUNCTION gridproof.drop_old_generations(projection text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = gridproof, pg_temp AS $$
DECLARE
    live text;
    old text;
    dropped integer := 0;
BEGIN
    SELECT format('rm_%s_g%s', name, generation) INTO STRICT live
        FROM gridproof.projection_positions WHERE name = projection;
    FOR old IN
        SELECT child.relname FROM pg_inherits
        JOIN pg_class AS child ON child.oid = inhrelid
        JOIN pg_class AS parent ON parent.oid = inhparent
        WHERE parent.relname = 'rm_' || projection AND parent.relnamespace = 'gridproof'::regnamespace
            AND child.relname <> live
    LOOP
        EXECUTE format('DROP TABLE gridproof.%I', old);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;

REVOKE ALL ON FUNCTION gridproof.create_generation(text, integer), gridproof.attach_generation(text, integer),
    gridproof.drop_old_generations(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION gridproof.create_generation(text, integer), gridproof.attach_generation(text, integer),
    gridproof.drop_old_generations(text) TO gridproof_app;
