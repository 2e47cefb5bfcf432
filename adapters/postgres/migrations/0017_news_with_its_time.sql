-- expand
-- Since when a quarter-hour has had news in it, by the server's own clock: one that stays unsettled is to be told of.
ALTER TABLE unsettled_quarters ADD COLUMN noted_at timestamptz NOT NULL DEFAULT now();
