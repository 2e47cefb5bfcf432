"""NATS: connections, the work queue, the telemetry stream, and the log that the raw archive reads."""
