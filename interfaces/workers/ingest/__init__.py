"""The ingest worker: meters' messages from MQTT into the telemetry log."""
