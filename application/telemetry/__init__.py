"""Telemetry: current values, load history, caching, retention and store health."""
