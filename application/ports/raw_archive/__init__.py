"""Ports for the raw archive: the telemetry log and the archive progress."""
