"""The raw archive of telemetry messages: writing, verifying and restoring."""
