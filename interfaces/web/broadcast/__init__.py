"""The live feed: one reader of the log for all subscribers."""
