-- expand
-- Since when a quarter-hour has had news in it, by the server's own clock: one that stays unsettled is to be told of.
ALTER TABLE unsettled_quarters ADD COLUMN noted_at timestamptz NOT NULL DEFAULT now();

-- Old rollups go row by row: their places are to be free again after a hundredth of the table, not after a fifth of years.
ALTER TABLE rollups SET (autovacuum_vacuum_scale_factor = 0.01);
