-- expand
-- The newest trained model of each facility; derived from its telemetry, so that it may be lost.
CREATE TABLE forecast_models (
    facility_id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    version text NOT NULL,
    trained_at timestamptz NOT NULL,
    uses_weather boolean NOT NULL,
    known_until timestamptz,
    parameters bytea NOT NULL
);

-- Numbers that hardly compress: not worth trying.
ALTER TABLE forecast_models ALTER COLUMN parameters SET STORAGE EXTERNAL;

GRANT SELECT, INSERT, UPDATE, DELETE ON forecast_models TO gridproof_app;
