"""The aggregate worker: stores the telemetry log and finalizes its rollups."""
