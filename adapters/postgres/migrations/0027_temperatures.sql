-- expand
-- Past temperatures of weather cells, one row for each cell and UTC day. Training reads those of eight weeks, and a
-- measurement those of its hours; deleted together with the rollups of telemetry.
CREATE TABLE temperatures (
    cell text COLLATE "C" NOT NULL,
    day date NOT NULL,
    temp_c double precision[] NOT NULL CHECK (cardinality(temp_c) = 24),
    is_final boolean NOT NULL DEFAULT false,
    PRIMARY KEY (cell, day)
);
COMMENT ON COLUMN temperatures.temp_c IS 'degrees Celsius of the hours of the UTC day; NULL where none is known';
COMMENT ON COLUMN temperatures.is_final IS 'requested once more after the day had been over for a day';
CREATE INDEX temperatures_day ON temperatures USING brin (day);

GRANT SELECT, INSERT, UPDATE, DELETE ON temperatures TO gridproof_app;
