"""NATS: connections, the telemetry stream, and the log that the raw archive reads."""
