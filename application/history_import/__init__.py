"""Import of load history from readings files: inspection, time grid and storage."""
