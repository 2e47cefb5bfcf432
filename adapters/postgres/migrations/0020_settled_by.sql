-- expand
-- The latest moment, by whichever clock, by which something of the partition was settled: a clock that goes back later
-- makes nothing that was settled count as unsettled.
ALTER TABLE telemetry_positions ADD COLUMN settled_by timestamptz;
