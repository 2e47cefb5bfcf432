"""Routes of loads: current values, histories and sums."""
