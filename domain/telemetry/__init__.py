"""Telemetry: meter readings, rollups and load history."""
