"""Ports for telemetry: meter feed, stream, store, rollups and retention."""
