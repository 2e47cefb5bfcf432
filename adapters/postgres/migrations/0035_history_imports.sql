-- expand
-- The imports of history, so that one can be listed and taken back. Their acts are in the log, which holds no free text.
CREATE TABLE gridproof.history_imports (
    import_id uuid PRIMARY KEY,
    begun_at timestamptz NOT NULL,
    begun_by text NOT NULL,
    file_sha256 text COLLATE "C" NOT NULL,
    rows bigint NOT NULL CHECK (rows >= 0),
    completed_at timestamptz,
    added bigint,
    changed bigint,
    taken_back_at timestamptz,
    taken_back_by text,
    reason text CHECK (length(reason) BETWEEN 1 AND 1000),
    CHECK ((taken_back_at IS NULL) = (reason IS NULL))
);
COMMENT ON COLUMN gridproof.history_imports.import_id IS 'stream of the administrative act that began it';
CREATE INDEX history_imports_begun ON gridproof.history_imports (begun_at, import_id);
GRANT SELECT, INSERT ON gridproof.history_imports TO gridproof_app;
GRANT UPDATE (completed_at, added, changed, taken_back_at, taken_back_by, reason) ON gridproof.history_imports
    TO gridproof_app;

CREATE TABLE gridproof.history_import_facilities (
    import_id uuid NOT NULL REFERENCES gridproof.history_imports,
    facility_id text COLLATE "C" NOT NULL,
    step_s integer NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    rows bigint NOT NULL CHECK (rows >= 0),
    taken_back_at timestamptz,
    PRIMARY KEY (import_id, facility_id)
);
COMMENT ON COLUMN gridproof.history_import_facilities.taken_back_at IS
    'when its rows were removed and its days sealed again; null while that is to be done';
GRANT SELECT, INSERT ON gridproof.history_import_facilities TO gridproof_app;
GRANT UPDATE (taken_back_at) ON gridproof.history_import_facilities TO gridproof_app;

-- What each import said. An imported row of interval_readings has, in each column, the newest known value of the layers
-- over its interval; NaN: the layer does not know it. A layer without an import has what was stored without one.
CREATE TABLE gridproof.import_layers (
    layer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    import_id uuid REFERENCES gridproof.history_imports,
    facility_id text COLLATE "C" NOT NULL,
    step_s integer NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    starts_at timestamptz[] NOT NULL,
    mean_kw double precision[] NOT NULL,
    temp_c real[] NOT NULL,
    CHECK (cardinality(starts_at) = cardinality(mean_kw) AND cardinality(starts_at) = cardinality(temp_c))
);
COMMENT ON COLUMN gridproof.import_layers.first_at IS 'the first of starts_at, which are in order; last_at is the last';
CREATE INDEX import_layers_facility ON gridproof.import_layers (facility_id, first_at);
CREATE INDEX import_layers_import ON gridproof.import_layers (import_id, facility_id);
GRANT SELECT, DELETE ON gridproof.import_layers TO gridproof_app;
GRANT INSERT (import_id, facility_id, step_s, first_at, last_at, starts_at, mean_kw, temp_c) ON gridproof.import_layers
    TO gridproof_app;
