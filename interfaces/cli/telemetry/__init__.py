"""The commands of `gridproof telemetry`."""
